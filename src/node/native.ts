/** What Node does faster than the core can by itself. */
import { useCrc32 } from '../bytes/crc32.js';
import { useAreSame } from '../model/side-by-side.js';

// From 20.16 and 22.3 on; loading zlib takes longer than many a command has reason to.
useCrc32(() => process.getBuiltinModule?.('node:zlib')?.crc32 ?? null);

export const areSame = (a: Uint8Array, b: Uint8Array): boolean => a.byteLength === b.byteLength && Buffer.compare(a, b) === 0;
useAreSame(areSame);
