const utf8 = new TextDecoder();

/** What a client reads of a frame: the bytes, where the session has made them. */
export function onTheWire(text: string, bytes: Uint8Array | null): string {
  return bytes === null ? text : utf8.decode(bytes);
}
