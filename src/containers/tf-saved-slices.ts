/**
 * TensorFlow's checkpoints of the first version: one file, or several of them, in each a sorted table of names and values. Published nets of
 * TensorFlow 1 (slim's `vgg_16.ckpt`, `inception_v3.ckpt`) are of this kind.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/saved_tensor_slice.proto and tensor_slice_writer.h
 */
import { Budget } from '../bytes/budget.js';
import type { ByteSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { ModelError } from '../errors.js';
import type { Tensor } from '../model/tensor.js';
import { type Field, WireReader } from './protobuf.js';
import type { TensorBundle } from './tf-bundle.js';
import { readTensorProto, readTensorShape, STRING, TF_DTYPES } from './tf-graph.js';
import { assembled, readSlice, type Slice, sliceKey } from './tf-slices.js';
import { readTable } from './tf-table.js';

const SAVED = { meta: 1, data: 2 } as const;
const META = { tensor: 1 } as const;
const SLICE_META = { name: 1, shape: 2, dtype: 3, slice: 4 } as const;
const SLICE = { data: 3 } as const;

interface Described {
  readonly shape: readonly number[];
  readonly dtype: number;
  readonly parts: { readonly slice: Slice; readonly values: ByteSource }[];
}

/** @param names of the files, all that there are of one checkpoint */
export async function readSavedSlices(files: FileSet, names: readonly string[]): Promise<TensorBundle> {
  const described = new Map<string, Described>();
  for (const name of names) await describeAll(await files.open(name), described);
  const tensors = new Map<string, Tensor>();
  const others = new Map<string, number>();
  for (const [name, { shape, dtype: code, parts }] of described) {
    const dtype = TF_DTYPES.get(code);
    if (!dtype) {
      others.set(name, code);
      continue;
    }
    const slices: { slice: Slice; tensor: Tensor }[] = [];
    for (const { slice, values } of parts) {
      const sizes = slice.map(({ length }, axis) => (length < 0 ? shape[axis]! : length));
      slices.push({ slice, tensor: await savedValues(values, { name, shape: sizes, code }) });
    }
    tensors.set(name, assembled(name, shape, slices, { file: slices[0]!.tensor.origin.file, tensor: name }));
  }
  // Strings are no weights, and hold nothing that says how a net is made.
  return { tensors, strings: new Map(), others: new Map([...others].filter(([, code]) => code !== STRING)), files: names };
}

/** Which variables a file has something of, and where it lies. */
async function describeAll(file: ByteSource, described: Map<string, Described>): Promise<void> {
  const table = new Map(await readTable(file, 'left'));
  const head = table.get('');
  if (!head)
    throw new ModelError('malformed', 'a table of names and values, but no checkpoint of TensorFlow: nothing in it says which variables there are', {
      file: file.name,
    });
  const wire = new WireReader(head);
  const budget = new Budget(table.size, 'the list of variables', file.name);
  for await (const saved of wire.fields(0, head.byteLength)) {
    if (saved.number !== SAVED.meta) continue;
    if (saved.wireType !== 2)
      throw new ModelError('malformed', `it is a checkpoint's index under another name: call it NAME.index, as the NAME.data-... beside it`, {
        file: file.name,
      });
    for await (const field of wire.fields(saved.start, saved.end)) {
      if (field.number !== META.tensor) continue;
      const { name, dtype, shape, slices } = await readVariable(wire, field, budget);
      const place = { file: file.name, tensor: name };
      if (!shape?.every((size) => Number.isSafeInteger(size) && size >= 0)) throw new ModelError('malformed', `a variable of shape [${shape ?? '?'}]`, place);
      const known = described.get(name) ?? { shape, dtype, parts: [] };
      if (`${known.shape}` !== `${shape}` || known.dtype !== dtype) throw new ModelError('malformed', 'two files say different things of it', place);
      described.set(name, known);
      const bytes = new TextEncoder().encode(name);
      for (const slice of slices) {
        const values = table.get(sliceKey(String.fromCharCode(...bytes), slice));
        if (!values) throw new ModelError('malformed', `its slice at [${slice.map(({ start }) => start)}] is not in the table`, place);
        if (slice.length !== shape.length)
          throw new ModelError('malformed', `it is stored in slices, and one of ${slice.length} axes is none of [${shape}]`, place);
        known.parts.push({ slice, values });
      }
      if (known.parts.length === 0) throw new ModelError('malformed', 'nothing is stored of it', place);
    }
  }
}

/** A SavedSliceMeta. */
async function readVariable(wire: WireReader, field: Field, budget: Budget) {
  let [name, dtype] = ['', 0];
  let shape: readonly number[] | null = null;
  const slices: Slice[] = [];
  for await (const part of wire.fields(field.start, field.end)) {
    if (part.number === SLICE_META.name) name = await wire.text(part);
    else if (part.number === SLICE_META.dtype) dtype = Number(part.varint);
    else if (part.number === SLICE_META.shape) shape = await readTensorShape(wire, part);
    else if (part.number === SLICE_META.slice) {
      budget.spend(1);
      slices.push(await readSlice(wire, part));
    }
  }
  return { name, dtype, shape, slices };
}

/** The values of a slice, which say neither of what type nor in what shape they are. */
async function savedValues(entry: ByteSource, said: { name: string; shape: readonly number[]; code: number }): Promise<Tensor> {
  const wire = new WireReader(entry);
  for await (const saved of wire.fields(0, entry.byteLength)) {
    if (saved.number !== SAVED.data) continue;
    for await (const part of wire.fields(saved.start, saved.end)) {
      const values = part.number === SLICE.data ? await readTensorProto(entry, part, said.name, said) : null;
      if (values) return values;
    }
  }
  throw new ModelError('malformed', 'its entry has no values', { file: entry.name, tensor: said.name });
}
