/** TensorFlow Lite models whose tables, vectors and names are shared by thousands, or claim what is not there. */
import { ascii, u16, u32 } from '../hdf5-image.js';
import type { CostlyFile } from './cost-hdf5.js';

type Bytes = Uint8Array;
/** A piece of the file, and which of its offsets lead to others. */
interface Piece {
  readonly bytes: Bytes;
  readonly points: readonly (readonly [at: number, to: Piece])[];
  /** Of a table: how many fields it has, null where one is left out. */
  readonly layout?: readonly boolean[];
}

/** A FlatBuffer of pieces that may be shared: what is made later lies earlier, so that all offsets lead forward. */
class Flat {
  readonly #pieces: Piece[] = [];

  #add(piece: Piece): Piece {
    this.#pieces.push(piece);
    return piece;
  }

  /** @param unit of an element, in bytes; @param count where it is not what there is */
  vector(content: Bytes, unit: number, count = content.byteLength / unit): Piece {
    const bytes = new Uint8Array(4 + content.byteLength + 4 - (content.byteLength % 4));
    bytes.set(u32(count));
    bytes.set(content, 4);
    return this.#add({ bytes, points: [] });
  }

  text(value: string): Piece {
    return this.vector(ascii(value), 1);
  }

  ints(values: readonly number[]): Piece {
    return this.vector(new Uint8Array(Int32Array.from(values).buffer), 4);
  }

  list(parts: readonly Piece[]): Piece {
    const bytes = new Uint8Array(4 + 4 * parts.length);
    bytes.set(u32(parts.length));
    return this.#add({ bytes, points: parts.map((part, i) => [4 + 4 * i, part]) });
  }

  table(...fields: readonly (Piece | number | null)[]): Piece {
    const bytes = new Uint8Array(4 + 4 * fields.length);
    const view = new DataView(bytes.buffer);
    fields.forEach((field, i) => {
      if (typeof field === 'number') view.setInt32(4 + 4 * i, field, true);
    });
    const points = fields.flatMap((field, i): (readonly [number, Piece])[] => (typeof field === 'object' && field ? [[4 + 4 * i, field]] : []));
    return this.#add({ bytes, points, layout: fields.map((field) => field !== null) });
  }

  file(root: Piece): Bytes {
    const layouts = new Map<string, { readonly at: number; readonly bytes: Bytes }>();
    let end = 8;
    for (const { layout } of this.#pieces) {
      if (!layout || layouts.has(`${layout}`)) continue;
      const bytes = u16(4 + 2 * layout.length, 4 + 4 * layout.length, ...layout.map((there, i) => (there ? 4 + 4 * i : 0)));
      layouts.set(`${layout}`, { at: end, bytes });
      end += bytes.byteLength + (bytes.byteLength % 4);
    }
    const places = new Map<Piece, number>();
    for (const piece of this.#pieces.toReversed()) {
      places.set(piece, end);
      end += piece.bytes.byteLength;
    }
    const file = new Uint8Array(end);
    const view = new DataView(file.buffer);
    view.setUint32(0, places.get(root)!, true);
    file.set(ascii('TFL3'), 4);
    for (const { at, bytes } of layouts.values()) file.set(bytes, at);
    for (const [piece, at] of places) {
      file.set(piece.bytes, at);
      if (piece.layout) view.setInt32(at, at - layouts.get(`${piece.layout}`)!.at, true);
      for (const [offset, to] of piece.points) view.setUint32(at + offset, places.get(to)! - at - offset, true);
    }
    return file;
  }
}

interface Parts {
  readonly tensors: readonly Piece[];
  readonly operators?: readonly Piece[];
  readonly inputs?: Piece;
  readonly outputs?: Piece;
  readonly buffers: readonly Piece[];
  readonly graphs?: number;
}
/** ADD. */
function model(flat: Flat, { tensors, operators = [], inputs = flat.ints([0]), outputs = flat.ints([0]), buffers, graphs = 1 }: Parts): Bytes {
  const graph = flat.table(flat.list(tensors), inputs, outputs, flat.list(operators));
  const codes = flat.list([flat.table(0, null, 1, 0)]);
  return flat.file(flat.table(3, codes, flat.list(new Array<Piece>(graphs).fill(graph)), flat.text('made for a test'), flat.list(buffers)));
}
/** @param type 0 is float32 */
const tensorOf = (flat: Flat, shape: Piece, buffer: number, name: Piece, ...more: readonly (Piece | number | null)[]) =>
  flat.table(shape, null, buffer, name, ...more);
const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** A net of one input and what else. */
function net(make: (flat: Flat) => Partial<Parts>): Bytes {
  const flat = new Flat();
  const empty = flat.table(null);
  const input = tensorOf(flat, flat.ints([1, 4]), 0, flat.text('x'));
  const parts = make(flat);
  return model(flat, { ...parts, tensors: [input, ...(parts.tensors ?? [])], buffers: [empty, ...(parts.buffers ?? [])] });
}

export const LITE_FILES: Readonly<Record<string, CostlyFile>> = {
  'a table that is listed 60,000 times': {
    name: 'x.tflite',
    bytes: () => net((flat) => ({ tensors: new Array<Piece>(60_000).fill(tensorOf(flat, flat.ints([1]), 0, flat.text('t'))) })),
  },
  'a table that is listed a million times': {
    name: 'x.tflite',
    bytes: () => net((flat) => ({ tensors: new Array<Piece>(1_000_000).fill(tensorOf(flat, flat.ints([1]), 0, flat.text('t'))) })),
    says: /./,
  },
  'a name of a million letters that 60,000 tensors have': {
    name: 'x.tflite',
    bytes: () =>
      net((flat) => {
        const [name, shape] = [flat.text('n'.repeat(1_000_000)), flat.ints([1])];
        return { tensors: many(60_000, () => tensorOf(flat, shape, 0, name)) };
      }),
    says: /more work/,
  },
  'a shape of 500,000 axes that 20,000 tensors have': {
    name: 'x.tflite',
    bytes: () =>
      net((flat) => {
        const [name, shape] = [flat.text('n'), flat.ints(new Array<number>(500_000).fill(1))];
        return { tensors: many(20_000, () => tensorOf(flat, shape, 0, name)) };
      }),
    says: /axes/,
  },
  'a vector that claims 2^31 elements': {
    name: 'x.tflite',
    bytes: () => net((flat) => ({ tensors: [tensorOf(flat, flat.vector(new Uint8Array(4), 4, 2 ** 31), 0, flat.text('n'))] })),
    says: /past the end/,
  },
  'a million scales that 20,000 tensors have': {
    name: 'x.tflite',
    bytes: () =>
      net((flat) => {
        const [name, shape] = [flat.text('n'), flat.ints([1])];
        const quantisation = flat.table(null, null, flat.vector(new Uint8Array(4_000_000).fill(1), 4), flat.vector(new Uint8Array(8_000_000), 8));
        return { tensors: many(20_000, () => tensorOf(flat, shape, 0, name, quantisation)) };
      }),
    says: /more work/,
  },
  'the same bytes as 20,000 tensors': {
    name: 'x.tflite',
    bytes: () =>
      net((flat) => {
        const [name, shape] = [flat.text('n'), flat.ints([250_000])];
        return { tensors: many(20_000, () => tensorOf(flat, shape, 1, name)), buffers: [flat.table(flat.vector(new Uint8Array(1_000_000), 1))] };
      }),
    says: /claim/,
  },
  'operators that share 500,000 inputs': {
    name: 'x.tflite',
    bytes: () =>
      net((flat) => {
        const inputs = flat.ints(new Array<number>(500_000).fill(0));
        const outputs = flat.ints([0]);
        return { operators: many(20_000, () => flat.table(0, inputs, outputs)) };
      }),
    says: /inputs and outputs|more work/,
  },
  'an addition of 100,000 inputs': {
    name: 'x.tflite',
    bytes: () => net((flat) => ({ operators: [flat.table(0, flat.ints(new Array<number>(100_000).fill(0)), flat.ints([0]))] })),
    says: /./,
  },
  'a graph of 500,000 outputs': {
    name: 'x.tflite',
    bytes: () => net((flat) => ({ outputs: flat.ints(new Array<number>(500_000).fill(0)) })),
    says: /inputs or outputs/,
  },
  'a graph that is listed 900 times, of 50 tensors': {
    name: 'x.tflite',
    bytes: () => net((flat) => ({ graphs: 900, tensors: many(50, () => tensorOf(flat, flat.ints([1]), 0, flat.text('n'))) })),
  },
  'sparse tensors of one value whose lists are shared': {
    name: 'x.tflite',
    bytes: () =>
      net((flat) => {
        const [name, shape] = [flat.text('n'), flat.ints([1])];
        const numbers = flat.table(flat.ints(new Array<number>(500_000).fill(0)));
        const level = flat.table(1, null, 1, numbers, 1, numbers);
        const sparsity = flat.table(flat.ints([0]), null, flat.list([level]));
        return { tensors: many(20_000, () => tensorOf(flat, shape, 1, name, null, null, sparsity)), buffers: [flat.table(flat.vector(new Uint8Array(4), 1))] };
      }),
    says: /./,
    flags: ['--weights'],
  },
  'sparse tensors of 100 MB each': {
    name: 'x.tflite',
    bytes: () =>
      net((flat) => {
        const [name, shape] = [flat.text('n'), flat.ints([25_000_000])];
        const level = flat.table(1, null, 1, flat.table(flat.ints([0, 0])), 1, flat.table(flat.ints([])));
        const sparsity = flat.table(flat.ints([0]), null, flat.list([level]));
        return { tensors: many(20, () => tensorOf(flat, shape, 1, name, null, null, sparsity)), buffers: [flat.table(flat.vector(new Uint8Array(4), 1))] };
      }),
    says: /./,
    flags: ['--weights'],
  },
  'an offset that leads back to the root': {
    name: 'x.tflite',
    bytes: () => {
      const bytes = net(() => ({}));
      const view = new DataView(bytes.buffer);
      const root = view.getUint32(0, true);
      // Its list of graphs: around, and to the root itself.
      view.setUint32(root + 12, 2 ** 32 - 12, true);
      return bytes;
    },
    says: /./,
  },
  'a layout of 30,000 fields': {
    name: 'x.tflite',
    bytes: () => {
      const flat = new Flat();
      return flat.file(flat.table(...new Array<number>(16_000).fill(1)));
    },
    says: /./,
  },
};
