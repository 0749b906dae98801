/** Bytes as the formats have them. */

export const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Whether letters of ASCII stand at a place. */
export const says = (bytes, place, word) =>
  place + word.length <= bytes.length && [...word].every((letter, i) => bytes[place + i] === letter.charCodeAt(0));

/** Where the file begins after its ID3v2 tag. */
export function afterTag(bytes) {
  if (!says(bytes, 0, "ID3") || bytes.length < 10) return 0;
  return 10 + ((bytes[6] << 21) | (bytes[7] << 14) | (bytes[8] << 7) | bytes[9]);
}
