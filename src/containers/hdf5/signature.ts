/** The first look at an HDF5 file, on its own so that recognising a format does not load the whole container. */

import type { ByteSource } from '../../bytes/byte-source.js';
import { decodeLatin1 } from '../../bytes/latin1.js';

const SIGNATURE = '\x89HDF\r\n\x1a\n';
/** The superblock stands at 0, 512, 1024, 2048, ... behind a user block; nobody makes larger ones. */
const MAX_USER_BLOCK = 2 ** 20;

/** A zip has its members one behind the other, and an HDF5 file among them may lie where one behind a user block would. */
const ZIP = 'PK\x03\x04';

/** Whether the file has an HDF5 signature, at its start or behind a user block. */
export async function isHdf5(source: ByteSource): Promise<boolean> {
  return (await findSuperblock(source)) !== null;
}

/** @returns the offset of the superblock, or null */
export async function findSuperblock(source: ByteSource): Promise<number | null> {
  if (decodeLatin1(await source.read(0, Math.min(ZIP.length, source.byteLength))) === ZIP) return null;
  for (let at = 0; at + 8 <= source.byteLength && at <= MAX_USER_BLOCK; at = at === 0 ? 512 : at * 2) {
    if (decodeLatin1(await source.read(at, at + 8)) === SIGNATURE) return at;
  }
  return null;
}
