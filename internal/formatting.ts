// How numbers are written for people, in findings of the doctor and by the command.

const numbers = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** 12,345 */
export const count = (value: number): string => numbers.format(value);

/** "1 job", "14 jobs" */
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

const SIZES = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** "512 bytes", "1.5 GiB" */
export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < SIZES.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${count(size)} ${SIZES[unit]}`;
}
