/**
 * Pickles made by hand, opcode by opcode, and PyTorch files around them: what `torch.save` and `pickle.dump` write, and what they never
 * would. Nothing here is ever given to Python.
 */
import { zipSync } from 'fflate';

/** A class or function by its name. */
export class Name {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}
}

/** `callee(*args)`, with what BUILD gives it, and items that are set in it. */
export class Call {
  constructor(
    readonly callee: Name | Call,
    readonly args: readonly unknown[],
    readonly extra: { readonly state?: unknown; readonly items?: ReadonlyMap<unknown, unknown>; readonly via?: 'R' | '\x81' } = {},
  ) {}
}

export class Tuple {
  readonly items: readonly unknown[];
  constructor(...items: readonly unknown[]) {
    this.items = items;
  }
}

/** A persistent id. */
export class Persistent {
  constructor(readonly id: unknown) {}
}

/** Opcodes as they are. */
export class Raw {
  constructor(readonly opcodes: string) {}
}

export type Protocol = 0 | 1 | 2 | 3 | 4 | 5;

const u32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255];
const latin1 = (text: string) => [...text].map((character) => character.charCodeAt(0));

/** Python's raw-unicode-escape writes Latin-1 as it is, but for what would end the line or begin an escape. */
const escaped = (character: string) => {
  const code = character.charCodeAt(0);
  return code > 255 || [0, 10, 13, 26, 92].includes(code) ? `\\u${code.toString(16).padStart(4, '0')}` : character;
};

/** A pickle of maps, arrays, texts, numbers, bytes and the classes above. */
export function pickle(value: unknown, protocol: Protocol = 2): Uint8Array {
  const out: number[] = protocol >= 2 ? [0x80, protocol] : [];
  const put = (text: string) => {
    for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
  };
  const putBytes = (bytes: Iterable<number>) => {
    for (const byte of bytes) out.push(byte);
  };
  const text = (characters: string) => {
    if (protocol === 0) put(`V${[...characters].map(escaped).join('')}\n`);
    else {
      const bytes = new TextEncoder().encode(characters);
      putBytes([0x58, ...u32(bytes.byteLength)]);
      putBytes(bytes);
    }
  };
  const number = (n: number) => {
    if (!Number.isInteger(n)) {
      if (protocol === 0) put(`F${n}\n`);
      else putBytes([0x47, ...new Uint8Array(Float64Array.of(n).buffer).reverse()]);
    } else if (protocol === 0) put(`I${n}\n`);
    else putBytes([0x4a, ...u32(n)]);
  };
  const name = (found: Name) => {
    if (protocol >= 4) {
      text(found.module);
      text(found.name);
      out.push(0x93);
    } else put(`c${found.module}\n${found.name}\n`);
  };
  const setItems = (map: ReadonlyMap<unknown, unknown>) => {
    if (protocol === 0) {
      for (const [key, item] of map) {
        write(key);
        write(item);
        put('s');
      }
    } else {
      put('(');
      for (const [key, item] of map) {
        write(key);
        write(item);
      }
      put('u');
    }
  };
  const tuple = (items: readonly unknown[]) => {
    put('(');
    items.forEach(write);
    put('t');
  };
  function write(item: unknown): void {
    if (item === null || item === undefined) put('N');
    else if (item === true) put(protocol >= 2 ? '\x88' : 'I01\n');
    else if (item === false) put(protocol >= 2 ? '\x89' : 'I00\n');
    else if (typeof item === 'number') number(item);
    else if (typeof item === 'string') text(item);
    else if (item instanceof Uint8Array) {
      if (protocol >= 3) {
        putBytes([0x42, ...u32(item.byteLength)]);
        putBytes(item);
      } else write(new Call(new Name('_codecs', 'encode'), [String.fromCharCode(...item), 'latin1']));
    } else if (item instanceof Map) {
      put(protocol === 0 ? '(d' : '}');
      setItems(item);
    } else if (Array.isArray(item)) {
      put(protocol === 0 ? '(l' : '](');
      for (const part of item) {
        write(part);
        if (protocol === 0) put('a');
      }
      if (protocol > 0) put('e');
    } else if (item instanceof Tuple) tuple(item.items);
    else if (item instanceof Name) name(item);
    else if (item instanceof Raw) put(item.opcodes);
    else if (item instanceof Persistent) {
      write(item.id);
      put('Q');
    } else if (item instanceof Call) {
      write(item.callee);
      tuple(item.args);
      put(item.extra.via ?? 'R');
      if (item.extra.items) setItems(item.extra.items);
      if (item.extra.state !== undefined) {
        write(item.extra.state);
        put('b');
      }
    } else throw new Error(`no pickle of ${String(item)}`);
  }
  write(value);
  put('.');
  return Uint8Array.from(out);
}

/** A float32 tensor of a state dict, and its storage. */
export interface Weights {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** Puts tensors into pickles, and keeps their storages for the file around them. */
/** The magic number and the protocol of the container before 1.6, each a pickle. */
const LEGACY_START = latin1('\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.');

export class TensorKeeper {
  readonly storages: Uint8Array[] = [];

  tensor({ shape, values }: Weights, type = 'FloatStorage'): Call {
    const key = String(this.storages.length);
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    this.storages.push(new Uint8Array(Float32Array.from(values).buffer));
    const storage = new Persistent(new Tuple('storage', new Name('torch', type), key, 'cpu', values.length));
    const hooks = new Call(new Name('collections', 'OrderedDict'), []);
    return new Call(new Name('torch._utils', '_rebuild_tensor_v2'), [storage, 0, new Tuple(...shape), new Tuple(...strides), false, hooks]);
  }

  /** One value in so many places, different for each tensor. */
  filled(shape: readonly number[], value: number): Call {
    return this.tensor({ shape, values: new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(value) });
  }

  /** What `torch.save` writes. */
  pth(value: unknown, protocol: Protocol = 2): Uint8Array {
    return zipSync(this.members(value, protocol), { level: 0 });
  }

  /** What it wrote before 1.6: a run of pickles, and the storages behind them. @param others storages of other types by key: elements, bytes */
  legacy(value: unknown, others: Readonly<Record<string, readonly [count: number, bytes: Uint8Array]>> = {}): Uint8Array {
    const own = this.storages.map((bytes, key) => [String(key), bytes.byteLength / 4, bytes] as const);
    const all = [...own, ...Object.entries(others).map(([key, [count, bytes]]) => [key, count, bytes] as const)];
    return Uint8Array.from([
      ...LEGACY_START,
      ...pickle(new Map<string, unknown>([['little_endian', true]])),
      ...pickle(value),
      ...pickle(all.map(([key]) => key)),
      ...all.flatMap(([, count, bytes]) => [...new Uint8Array(BigInt64Array.of(BigInt(count)).buffer), ...bytes]),
    ]);
  }

  /** Its members. */
  members(value: unknown, protocol: Protocol = 2): Record<string, Uint8Array> {
    const storages = this.storages.map((bytes, key) => [`archive/data/${key}`, bytes] as const);
    return {
      'archive/data.pkl': pickle(value, protocol),
      'archive/byteorder': Uint8Array.from(latin1('little')),
      ...Object.fromEntries(storages),
      'archive/version': Uint8Array.from(latin1('3\n')),
    };
  }
}

/** NumPy's array, as its `__reduce__` has it. */
export function numpyArray({ shape, values }: Weights, options: { readonly bigEndian?: boolean; readonly fortran?: boolean } = {}): Call {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  if (options.bigEndian) for (let i = 0; i < bytes.length; i += 4) bytes.subarray(i, i + 4).reverse();
  const order = new Tuple(3, options.bigEndian ? '>' : '<', null, null, null, -1, -1, 0);
  const dtype = new Call(new Name('numpy', 'dtype'), ['f4', 0, 1], { state: order });
  return new Call(new Name('numpy.core.multiarray', '_reconstruct'), [new Name('numpy', 'ndarray'), new Tuple(0), Uint8Array.of(0x62)], {
    state: new Tuple(1, new Tuple(...shape), dtype, options.fortran ?? false, bytes),
  });
}

/** A tensor in a plain pickle: its storage is a PyTorch file of its own, in bytes. */
export function pickledTensor({ shape, values }: Weights): Call {
  const key = '94207746108720';
  const storage = new Persistent(new Tuple('storage', new Name('torch', 'FloatStorage'), key, 'cpu', values.length, null));
  const inner = [
    ...LEGACY_START,
    ...pickle(new Map<string, unknown>([['little_endian', true]])),
    ...pickle(storage),
    ...pickle([key]),
    ...new Uint8Array(BigInt64Array.of(BigInt(values.length)).buffer),
    ...new Uint8Array(Float32Array.from(values).buffer),
  ];
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const bytes = new Call(new Name('torch.storage', '_load_from_bytes'), [Uint8Array.from(inner)]);
  return new Call(new Name('torch._utils', '_rebuild_tensor_v2'), [bytes, 0, new Tuple(...shape), new Tuple(...strides), false, new Map()]);
}

/** The weights of a VGG of four convolutions and one dense layer, for pictures of 16 x 16; other values for another seed. */
export function tinyVgg(seed = 1): Map<string, Weights> {
  let state = seed;
  const next = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647 - 0.5;
  };
  const dict = new Map<string, Weights>();
  const add = (name: string, shape: readonly number[]) => dict.set(name, { shape, values: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next) });
  const widths = [3, 4, 4, 6, 6];
  [0, 3, 6, 9].forEach((index, i) => {
    add(`features.${index}.weight`, [widths[i + 1]!, widths[i]!, 3, 3]);
    add(`features.${index}.bias`, [widths[i + 1]!]);
  });
  add('classifier.weight', [5, 6]);
  add('classifier.bias', [5]);
  return dict;
}
