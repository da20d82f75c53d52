/**
 * How many objects and arrays may stand in each other in an event, and in a frame of a client, the outermost one
 * included. JSON parsers of some languages die of texts that are nested some hundred levels deep. PROTOCOL.md, "Events".
 */
export const MAX_LEVELS = 64;

// Written out: what is taken from a list is looked up again for each character.
const QUOTE = 0x22; // "
const ESCAPE = 0x5c; // \
const OPEN_LIST = 0x5b; // [
const CLOSE_LIST = 0x5d; // ]
const OPEN_OBJECT = 0x7b; // {
const CLOSE_OBJECT = 0x7d; // }

/**
 * Whether objects and arrays stand more than `most` levels deep in each other. It looks at the text, since of members of
 * one name a parsed value holds the last one only, and the text is what is passed on.
 * @param json valid JSON
 */
export function isTooDeep(json: string, most = MAX_LEVELS): boolean {
  // Nearly all texts open fewer than that, and this is several times as fast as looking at each character.
  if (!opensMoreThan(json, most)) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case QUOTE:
        for (at += 1; at < json.length && json.charCodeAt(at) !== QUOTE; at++) {
          if (json.charCodeAt(at) === ESCAPE) at += 1;
        }
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        depth += 1;
        if (depth > most) return true;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth -= 1;
        break;
    }
  }
  return false;
}

function opensMoreThan(json: string, most: number): boolean {
  let count = 0;
  for (const bracket of ['{', '[']) {
    for (let at = json.indexOf(bracket); at >= 0; at = json.indexOf(bracket, at + 1)) {
      count += 1;
      if (count > most) return true;
    }
  }
  return false;
}
