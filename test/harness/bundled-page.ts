/** A page from an address of its own, under a strict Content-Security-Policy, with one bundle as its script. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

/** No inline script, no inline style: not even an attribute. */
const POLICY = "default-src 'none'; script-src 'self'; connect-src *; require-trusted-types-for 'script'";

export interface BundledPage extends AsyncDisposable {
  readonly origin: string;
  /** What stands in `<body>` when the script begins. */
  body: string;
}

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));

/**
 * Bundles a file of test/browser/pages and serves it. React is that of development, with the checks of strict mode.
 * @param source what stands in that file, where there is none
 */
export async function serveBundled(name: string, source?: string): Promise<BundledPage> {
  const input = path(`test/browser/pages/${name}`);
  const bundle = await rolldown({
    input,
    platform: 'browser',
    transform: { define: { 'process.env.NODE_ENV': '"development"' } },
    resolve: {
      alias: {
        '@headway/client/element': path('sdk/client/element.ts'),
        '@headway/client': path('sdk/client/index.ts'),
        '@headway/react': path('sdk/react/index.ts'),
      },
    },
    // The element is in a file of its own in the package, which is marked; the source is not.
    treeshake: { moduleSideEffects: () => true },
    plugins:
      source === undefined
        ? []
        : [
            {
              name: 'source',
              resolveId: (id) => (id === input ? id : null),
              load: (id) => (id === input ? source : null),
            },
          ],
  });
  const { output } = await bundle.generate({ format: 'esm' });
  await bundle.close();
  const files = new Map(
    output.map((part) => [`/${part.fileName}`, 'code' in part ? part.code : part.source]),
  );
  const page = { body: '<main id="root"></main>' };
  const server = createServer(({ url = '' }, response) => {
    const script = files.get(url);
    if (script !== undefined) {
      response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
      return;
    }
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': POLICY,
    });
    response.end(
      `<!doctype html><html lang="en"><meta name="color-scheme" content="light dark"><title>Jobs</title>` +
        `<body>${page.body}<script type="module" src="/${output[0].fileName}"></script>`,
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(page, {
    origin,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
