/** Text of which each byte is a character. */

/** Arguments of one call; engines have a limit. */
const AT_A_TIME = 8192;

/**
 * Decodes ISO 8859-1. What `TextDecoder` calls latin1 is windows-1252, as the web has it: there the byte 0x89, with which HDF5 files
 * begin, is another character. (Node keeps to ISO 8859-1, so only a browser shows the difference.)
 */
export function decodeLatin1(bytes: Uint8Array): string {
  let text = '';
  // Spread into arguments one by one they would take ten times as long, and there may be a hundred thousand names.
  for (let start = 0; start < bytes.length; start += AT_A_TIME) text += String.fromCharCode.apply(null, bytes.subarray(start, start + AT_A_TIME) as never);
  return text;
}
