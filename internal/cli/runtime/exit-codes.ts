import type { HeadwayError } from '../../errors.js';

/** How `headway` ends, for scripts. The help lists them. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  missing: 3,
  nats: 4,
  output: 5,
  warnings: 10,
  errors: 11,
  jobFailed: 12,
  timeout: 13,
} as const;

export const EXIT_CODES_HELP = `
Exit codes:
  0         done
  1         failed
  2         a mistake in the arguments or the environment
  3         not there: no such job, no such stream, no stream of Headway's
  4         NATS cannot be reached, refuses the credentials, or has no JetStream
  5         the output cannot be written, as on a full disk
  10, 11    doctor found something to warn of, or something wrong
  12, 13    wait: a job ended as an error, or the time ran out
  129-131   ended by SIGHUP, Ctrl-C (SIGINT: 130), SIGQUIT
  143       ended by SIGTERM
`;

/** The exit code of an error, which is finer here than an edge's own. */
export function exitCodeOf(error: HeadwayError): number {
  switch (error.code) {
    case 'nats_unreachable':
    case 'nats_unauthorized':
    case 'nats_too_old':
    case 'jetstream_unavailable':
      return EXIT.nats;
    case 'stream_missing':
    case 'stream_foreign':
    case 'job_missing':
      return EXIT.missing;
    default:
      return error.exitCode;
  }
}
