/**
 * Which of the two packages of uWebSockets.js fits a system, and what to do on a system that neither fits. Pure.
 * docs/decisions/0024-two-packages-of-uwebsockets.md
 */

/** What decides whether a native addon can be loaded. */
export interface Runtime {
  /** Such as "24.11.0". */
  readonly node: string;
  /** The number of the interface between Node and its addons, such as "137" for Node 24. */
  readonly modules: string;
  readonly platform: string;
  readonly arch: string;
  /** The version of the GNU C library, such as "2.36". null: a Linux with another one. undefined: not a Linux. */
  readonly glibc: string | null | undefined;
}

export interface Package {
  /** As it is imported: a key in the dependencies of package.json. */
  readonly name: 'uWebSockets.js' | 'uWebSockets.js-node24';
  /** The releases of Node that it is used for, by their number of the interface. */
  readonly nodes: Readonly<Record<string, number>>;
  /** Platforms as "platform arch"; on Linux with the glibc that the binary asks for. */
  readonly platforms: Readonly<Record<string, string | null>>;
}

const ELSEWHERE = { 'darwin x64': null, 'darwin arm64': null, 'win32 x64': null };
export const PACKAGES: readonly Package[] = [
  {
    name: 'uWebSockets.js',
    nodes: { 115: 20, 127: 22 },
    platforms: { 'linux x64': '2.27', 'linux arm64': '2.27', 'linux arm': '2.28', ...ELSEWHERE },
  },
  {
    name: 'uWebSockets.js-node24',
    nodes: { 137: 24 },
    platforms: { 'linux x64': '2.38', 'linux arm64': '2.38', ...ELSEWHERE },
  },
];

const packageOf = (modules: string): Package | undefined =>
  PACKAGES.find(({ nodes }) => Object.hasOwn(nodes, modules));

/**
 * The package to import. Of a Node that none has a binary for it is the first, over which its user may have installed
 * another release.
 */
export function packageFor(modules: string): Package['name'] {
  return packageOf(modules)?.name ?? 'uWebSockets.js';
}

const SYSTEMS = 'Debian 13, Ubuntu 24.04 or RHEL 10';

/**
 * What keeps the library from being loaded on this system, and what to do, in whole sentences. To be asked when it
 * could not be loaded, or when the system is known to be none for it.
 */
export function whyUnfit(runtime: Runtime): string {
  const { modules, platform, arch, glibc } = runtime;
  if (glibc === null) {
    return (
      "This Linux has a C library other than glibc (Alpine's musl, for example), and there is no binary for it: use " +
      'a Debian, Ubuntu or Fedora system or image, such as node:24-trixie-slim.'
    );
  }
  const fitting = packageOf(modules);
  if (fitting === undefined) {
    return (
      'Run it with Node 24 (recommended), 22 or 20. For another Node install a release of its author over it that ' +
      'names this Node (npm install uWebSockets.js@github:uNetworking/uWebSockets.js#v20.69.0, for Node 26).'
    );
  }
  const needed = fitting.platforms[`${platform} ${arch}`];
  if (needed === undefined) {
    const known = Object.keys(fitting.platforms).join(', ');
    return `For this Node there are binaries for: ${known}. Run it on one of these.`;
  }
  if (needed !== null && glibc !== undefined && isOlder(glibc, needed)) {
    const older = PACKAGES.find(({ platforms }) => {
      const asks = platforms[`${platform} ${arch}`];
      return typeof asks === 'string' && !isOlder(glibc, asks);
    });
    const majors = Object.values(older?.nodes ?? {}).sort((a, b) => b - a);
    const stay = majors.length === 0 ? '' : `stay on this system with Node ${majors.join(' or ')}, or `;
    return (
      `This system has glibc ${glibc}, and the binary for Node ${fitting.nodes[modules]} asks for ${needed}: ` +
      `${stay}go to one with a newer glibc (${SYSTEMS}).`
    );
  }
  return 'The binary for this system is missing or damaged: install the packages again (npm ci --ignore-scripts).';
}

/** Compares versions of two numbers; what is no version is not older. */
function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [thanMajor = 0, thanMinor = 0] = than.split('.').map(Number);
  return major < thanMajor || (major === thanMajor && minor < thanMinor);
}
