/** Pictures whose EXIF says how they are to be turned. */

/** What EXIF holds that says nothing but this orientation, 1 to 8. @param count of entries that it says it has */
export function exifOf(orientation: number, order: 'II' | 'MM' = 'II', count = 1): Uint8Array {
  const isLittle = order === 'II';
  const tiff = new DataView(new ArrayBuffer(8 + 2 + 12 + 4));
  for (const [i, letter] of [...order].entries()) tiff.setUint8(i, letter.charCodeAt(0));
  tiff.setUint16(2, 42, isLittle);
  tiff.setUint32(4, 8, isLittle);
  tiff.setUint16(8, count, isLittle);
  for (const [i, value] of [0x0112, 3, 0, 1, orientation].entries()) tiff.setUint16(10 + 2 * i, value, isLittle);
  if (isLittle) tiff.setUint32(14, 1, true);
  return new Uint8Array(tiff.buffer);
}

/** A JPEG with this EXIF before all else. */
export function withExif(jpeg: Uint8Array, tiff: Uint8Array): Uint8Array {
  const exif = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  return Buffer.concat([jpeg.subarray(0, 2), Uint8Array.of(0xff, 0xe1, 0, exif.length + 2), exif, jpeg.subarray(2)]);
}
