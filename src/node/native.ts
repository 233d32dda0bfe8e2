/** What Node does faster than the core can by itself. */
import { useCrc32 } from '../bytes/crc32.js';

// From 20.16 and 22.3 on; loading zlib takes longer than many a command has reason to.
useCrc32(() => process.getBuiltinModule?.('node:zlib')?.crc32 ?? null);
