import { spawn } from 'node:child_process';

/**
 * Opens a page in the browser of whoever sits there, where that is known to be possible. When it does not work nothing
 * happens: the address was printed.
 */
export function openBrowser(url: string, env: Readonly<Record<string, string | undefined>>): void {
  const command = opener(process.platform, env);
  if (command === undefined) return;
  // A group of its own: Ctrl-C ends the demo, and not the browser.
  spawn(command, [url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref();
}

/** The program that opens an address; undefined where there is no screen, or nobody who looks at it. */
export function opener(
  platform: NodeJS.Platform,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (env.CI) return undefined;
  if (platform === 'darwin') return env.SSH_CONNECTION ? undefined : 'open';
  if (platform !== 'linux') return undefined;
  return env.DISPLAY || env.WAYLAND_DISPLAY ? 'xdg-open' : undefined;
}
