import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What the page's server gives out: a file, and what it is. */
export interface SiteFile {
  readonly type: string;
  readonly body: string | Buffer;
}

/** From dist/demo/ to what is not compiled. */
const SOURCES = new URL('../../demo/page/', import.meta.url);
const BUILT = new URL('../', import.meta.url);
/** Modules of the page, as they were compiled; a browser needs no bundle. */
const MODULES = ['demo/page/', 'sdk/client/'];

/** All that there is, by its path. What is not here cannot be asked for. */
export function siteFiles(): ReadonlyMap<string, SiteFile> {
  const files = new Map<string, SiteFile>();
  for (const folder of MODULES) {
    for (const name of readdirSync(new URL(folder, BUILT))) {
      if (!name.endsWith('.js')) continue;
      const body = readFileSync(new URL(folder + name, BUILT));
      files.set(`/${folder}${name}`, { type: 'text/javascript; charset=utf-8', body });
    }
  }
  files.set('/page.css', {
    type: 'text/css; charset=utf-8',
    body: readFileSync(new URL('page.css', SOURCES)),
  });
  return files;
}

/** The page itself, with what it has to say to be heard. */
export function pageWith(token: string): SiteFile {
  const text = readFileSync(fileURLToPath(new URL('index.html', SOURCES)), 'utf8');
  return { type: 'text/html; charset=utf-8', body: text.replace('{token}', token) };
}
