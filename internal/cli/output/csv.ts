import { stringify } from 'csv-stringify/sync';

/**
 * One line of CSV (RFC 4180, with a line feed), without its end. A cell that a spreadsheet would take for a formula begins
 * with an apostrophe: its text may be a worker's, and CSV is for spreadsheets.
 */
export const csvLine = (cells: readonly (string | number | null | undefined)[]): string =>
  stringify([cells], { escape_formulas: true, record_delimiter: '' });
