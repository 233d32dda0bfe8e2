/**
 * Snappy's raw format: how many bytes there are, then literals and copies of what came before.
 *
 * @see https://github.com/google/snappy/blob/main/format_description.txt
 */

/** A byte may stand for 64 of them at most: a copy of 64 bytes takes three. */
const MAX_GAIN = 32;

/**
 * @param limit of what may come out
 * @returns the bytes, or a sentence about what is wrong with them
 */
export function decodeSnappy(packed: Uint8Array, limit: number): Uint8Array | string {
  let at = 0;
  const little = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) value += (packed[at++] ?? Number.NaN) * 256 ** i;
    return value;
  };
  let byteLength = 0;
  for (let factor = 1; ; factor *= 128) {
    const byte = packed[at++];
    if (byte === undefined || factor > 2 ** 28) return 'does not say how long it is';
    byteLength += (byte & 127) * factor;
    if (byte < 128) break;
  }
  if (byteLength > Math.min(limit, MAX_GAIN * packed.byteLength)) return `claims ${byteLength} bytes of ${packed.byteLength}`;
  const bytes = new Uint8Array(byteLength);
  let made = 0;
  while (at < packed.byteLength) {
    const tag = packed[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      const said = tag >> 2;
      const length = 1 + (said < 60 ? said : little(said - 59));
      if (!(at + length <= packed.byteLength && made + length <= byteLength)) return 'has a literal that runs past its end';
      bytes.set(packed.subarray(at, at + length), made);
      [at, made] = [at + length, made + length];
      continue;
    }
    const length = kind === 1 ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    const back = kind === 1 ? (tag >> 5) * 256 + little(1) : little(kind === 2 ? 2 : 4);
    if (!(back >= 1 && back <= made && made + length <= byteLength)) return 'copies what it does not have';
    // Where a copy reaches into itself, it repeats what it made.
    for (let i = 0; i < length; i++, made++) bytes[made] = bytes[made - back]!;
  }
  return made === byteLength ? bytes : `ends after ${made} of ${byteLength} bytes`;
}
