/** Archives of many members, and of members that inflate to much more than they are. */
import { strToU8, type Zippable, zipSync } from 'fflate';
import { joined } from '../hdf5-image.js';
import type { CostlyFile } from './cost-hdf5.js';

/** An .npy array of bytes; `count` of them are claimed, whatever follows. */
function npy(shape: string, data = new Uint8Array(), type = '|u1'): Uint8Array {
  const header = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape}), }\n`;
  return joined(strToU8('\x93NUMPY\x01\0', true), new Uint8Array(Uint16Array.of(header.length).buffer), strToU8(header), data);
}

const members = (count: number, make: (i: number) => Uint8Array): Zippable =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}.npy`, make(i)]));
const zeros = (byteLength: number) => npy(`${byteLength},`, new Uint8Array(byteLength));

export const ZIP_FILES: Readonly<Record<string, CostlyFile>> = {
  'members that inflate to a gigabyte together': {
    name: 'x.npz',
    bytes: () =>
      zipSync(
        members(64, () => zeros(2 ** 24)),
        { level: 9 },
      ),
    says: /inflate/,
  },
  'a member that inflates to half a gigabyte': { name: 'x.npz', bytes: () => zipSync({ 'a.npy': zeros(2 ** 29) }, { level: 9 }), says: /inflate/ },
  'members that inflate, below what is refused': {
    name: 'x.npz',
    bytes: () =>
      zipSync(
        members(2, () => zeros(2 ** 23)),
        { level: 9 },
      ),
    flags: ['--weights'],
  },
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
