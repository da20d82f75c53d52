/** PDFs that are made here: small ones, and one that unpacks to gigabytes. */
import { constants, deflateRawSync, deflateSync } from 'node:zlib';

/** A PDF from its objects (the first is the catalogue), with a correct table of where they are. */
export function makePdf(objects: string[], trailer = ''): Buffer {
  let pdf = '%PDF-1.7\n';
  const places = objects.map((object, index) => {
    const place = String(pdf.length).padStart(10, '0');
    pdf += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return `${place} 00000 n \n`;
  });
  const table = `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${places.join('')}`;
  const end = `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R ${trailer} >>\nstartxref\n${pdf.length}\n%%EOF\n`;
  return Buffer.from(pdf + table + end, 'latin1');
}

export const CATALOGUE = '<< /Type /Catalog /Pages 2 0 R >>';
export const ONE_PAGE = '<< /Type /Pages /Kids [3 0 R] /Count 1 >>';
export const page = (font: string) =>
  `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents 4 0 R /Resources << /Font << /F ${font} >> >> >>`;
export const stream = (content: string, entries = '') =>
  `<< /Length ${content.length} ${entries}>>\nstream\n${content}\nendstream`;
export const HELVETICA = '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>';

/** A few kilobytes, of which a table of one font unpacks to 4 GiB, in two steps. */
export function pdfBomb(): Buffer {
  const text = Buffer.alloc(2 ** 20, ' ');
  // Ends at a byte, and names nothing before it: so often it can be repeated.
  const part = deflateRawSync(text, { finishFlush: constants.Z_FULL_FLUSH });
  const zlibHeader = Buffer.from([0x78, 0x9c]);
  const inner = Buffer.concat([zlibHeader, ...Array(4_096).fill(part), deflateRawSync(Buffer.alloc(0))]);
  const bomb = stream(deflateSync(inner).toString('latin1'), '/Filter [/FlateDecode /FlateDecode] ');
  const font = `${HELVETICA.slice(0, -2)}/ToUnicode 5 0 R >>`;
  return makePdf([CATALOGUE, ONE_PAGE, page(font), stream('BT /F 12 Tf (A word) Tj ET'), bomb]);
}
