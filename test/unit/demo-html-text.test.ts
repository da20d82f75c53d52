import fc from 'fast-check';
import { expect, test } from 'vitest';
import { htmlText, isHtml } from '../../demo/html-text.js';

test.each([
  ['<!doctype html><p>a', true],
  ['\n <!DOCTYPE HTML PUBLIC "x">', true],
  ['<!-- a note -->\n<html lang="en">', true],
  ['<html>', true],
  ['<htmlx>', false],
  ['The tag <html> begins a page', false],
  ['<?xml version="1.0"?><svg/>', false],
  ['', false],
])('%j is HTML: %j', (text, expected) => {
  expect(isHtml(text)).toBe(expected);
});

test.each([
  ['words with their marks', '<p>One <b>two</b>\n  three<br>four &amp; five', 'One two three\nfour & five\n'],
  ['parts of their own', '<h1>Head</h1><p>a<p>b<ul><li>c<li>d</ul>', 'Head\n\na\n\nb\n\nc\nd\n'],
  ['nothing that is not read', '<head><title>t</title></head>a<script>if (a<b) c</script>d<style>e', 'ad\n'],
  ['no comments', 'a<!-- b > c -->d<!-- never ends', 'ad\n'],
  ['signs that are no tags', 'a < b <3 <> c', 'a < b <3 <> c\n'],
  [
    'characters by their names',
    '&lt;&#8211;&#x1F600;&nbsp;&unknown;&#xD800;&#0;',
    '<–😀 &unknown;\ufffd\ufffd\n',
  ],
  ['a script whose end is written oddly', '<SCRIPT>a</script  >b', 'b\n'],
])('of HTML are read: %s', (_what, html, expected) => {
  expect(htmlText(html)).toBe(expected);
});

test('whatever is in it, it comes to an end, and holds no tag that has a name', () => {
  const piece = fc.constantFrom(
    ...['<p>', '</p', '<!--', '-->', '<script>', '</script>', '&#', 'x', ' ', '>', '<'],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      expect(htmlText(pieces.join(''))).not.toMatch(/<\/?(?:p|script)>/);
    }),
  );
});

test('whatever spaces are in it, it is gone through once', () => {
  // Of a page that was made to hold up whoever reads it: looked at from each of them anew, they would take hours.
  const many = 3_000_000;
  for (const space of ['&nbsp;', '\u00a0', '<b> </b>', '\u2003<i>'])
    expect(htmlText(`<p>a${space.repeat(many / space.length)}b<p>c`)).toMatch(/^a\s+b\n\nc\n$/);
});
