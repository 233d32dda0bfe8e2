/** Archives of many members, and of members that inflate to much more than they are. */
import { constants, deflateRawSync } from 'node:zlib';
import { strToU8, type Zippable, zipSync } from 'fflate';
import { crc32 } from '../../src/bytes/crc32.js';
import { joined, repeated } from '../hdf5-image.js';
import { zipImage } from '../zip-image.js';
import type { CostlyFile } from './cost-hdf5.js';

/** An .npy array of bytes; `count` of them are claimed, whatever follows. */
function npy(shape: string, data = new Uint8Array(), type = '|u1'): Uint8Array {
  const header = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape}), }\n`;
  return joined(strToU8('\x93NUMPY\x01\0', true), new Uint8Array(Uint16Array.of(header.length).buffer), strToU8(header), data);
}

const members = (count: number, make: (i: number) => Uint8Array): Zippable =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}.npy`, make(i)]));

/** An archive of arrays of zeros, deflated a MiB at a time: the same bytes again and again, which no packer need look at. */
function zeros(count: number, mebibytes: number): Uint8Array {
  const header = npy(`${mebibytes * 2 ** 20},`);
  const part = (bytes: Uint8Array) => deflateRawSync(bytes, { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
  const content = joined(part(header), repeated(part(new Uint8Array(2 ** 20)), mebibytes), deflateRawSync(new Uint8Array()));
  // Who reads what is refused here would have done the work before it is compared.
  const crc = mebibytes <= 8 ? crc32(joined(header, new Uint8Array(mebibytes * 2 ** 20))) >>> 0 : 0;
  const says = { method: 8, crc, byteLength: header.byteLength + mebibytes * 2 ** 20 };
  return zipImage(Array.from({ length: count }, (_, i) => ({ name: `a${i}.npy`, content, local: says, central: says })));
}

export const ZIP_FILES: Readonly<Record<string, CostlyFile>> = {
  'members that inflate to a gigabyte together': { name: 'x.npz', bytes: () => zeros(64, 16), says: /inflate/ },
  'a member that inflates to half a gigabyte': { name: 'x.npz', bytes: () => zeros(1, 512), says: /inflate/ },
  'members that inflate, below what is refused': { name: 'x.npz', bytes: () => zeros(2, 8), flags: ['--weights'] },
  '10,000 arrays of nothing': {
    name: 'x.npz',
    bytes: () =>
      zipSync(
        members(10_000, () => npy('0,')),
        { level: 0 },
      ),
  },
  'an array of 20,000 axes': { name: 'x.npz', bytes: () => zipSync({ 'a.npy': npy(`0,${'1,'.repeat(20_000)}`) }, { level: 0 }), says: /axes/ },
  'an array of 10^15 values': { name: 'x.npz', bytes: () => zipSync({ 'a.npy': npy('1000000000000000,') }, { level: 0 }), says: /follow/ },
};
