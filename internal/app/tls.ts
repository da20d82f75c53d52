import type { EdgeConfig } from '../../schemas/config.js';
import type { TlsSettings } from '../edge/server.js';
import { readTlsFiles, type TlsReloadEvent } from '../edge/tls.js';
import type { Logger } from '../telemetry/logger.js';

/**
 * TLS as the configuration says; null when it is left to a proxy. The files are checked here, before anything is
 * opened.
 * @param everyMs milliseconds between two looks at the files
 * @throws TlsFilesError
 */
export async function openTls(
  { tlsCert, tlsKey }: EdgeConfig,
  logger: Logger,
  everyMs: number,
): Promise<TlsSettings | null> {
  if (tlsCert === undefined || tlsKey === undefined) return null;
  const files = { certFile: tlsCert, keyFile: tlsKey };
  await readTlsFiles(files);
  return { ...files, everyMs, report: (news) => tell(logger, news) };
}

function tell(logger: Logger, news: TlsReloadEvent): void {
  switch (news.kind) {
    case 'reloaded':
      logger.info({ until: isoTime(news.validTo) }, 'the certificate was reloaded');
      break;
    case 'kept':
      logger.error({ reason: news.reason }, 'the certificate could not be reloaded');
      break;
    case 'untimely':
      if (news.validity === 'expired') {
        logger.warn({ until: isoTime(news.at) }, 'the certificate has expired');
      } else {
        logger.warn({ from: isoTime(news.at) }, 'the certificate is not valid yet');
      }
      break;
  }
}

const isoTime = (ms: number): string => new Date(ms).toISOString();
