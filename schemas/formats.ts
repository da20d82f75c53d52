/** How many Unicode code points a text has. JSON Schema counts these, and JavaScript's `length` does not. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

// Counted, not asked of a Date: on the last days of a month each event would make one.
const daysInMonth = (year: number, month: number): number => {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
};

const ZERO = 0x30;
/** The number that two digits are. */
const twoDigits = (text: string, at: number): number =>
  (text.charCodeAt(at) - ZERO) * 10 + text.charCodeAt(at + 1) - ZERO;

/** Whether `text` is a date and time as RFC 3339 writes it, with a day that exists. A leap second is one. */
export function isRfc3339(text: string): boolean {
  // It is looked at in each event. To take the parts out of the pattern took ten times as long as to know where they are.
  if (!RFC3339.test(text)) return false;
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const isDate = month >= 1 && month <= 12 && day >= 1 && (day <= 28 || day <= daysInMonth(year, month));
  const isTime = twoDigits(text, 11) <= 23 && twoDigits(text, 14) <= 59 && twoDigits(text, 17) <= 60;
  if (!isDate || !isTime) return false;
  if (text.endsWith('Z') || text.endsWith('z')) return true;
  const offset = text.length - '00:00'.length;
  return twoDigits(text, offset) <= 23 && twoDigits(text, offset + 3) <= 59;
}
