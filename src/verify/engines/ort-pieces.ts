/** A session that runs a large model piece by piece, so that memory holds one of them; a next run of the same inputs goes on where the last one ended. */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import type { ReadModel, ReadPort } from '../../containers/onnx.js';
import { DATA_TYPE } from '../../containers/onnx-schema.js';
import { ModelError } from '../../errors.js';
import type { NdArray, Session, SessionPort } from '../engine.js';
import { type Encoded, encodePiece, type Piece } from './onnx-pieces.js';
import { fromOrt, type Ort, toOrt } from './ort-tensors.js';

export interface InPieces {
  readonly ort: Ort;
  readonly model: ReadModel;
  readonly pieces: readonly Piece[];
  readonly encoded: Encoded;
  /** Names of the values inside that may be asked for; none where left out. */
  readonly intermediates?: readonly string[];
  create(bytes: Uint8Array): Promise<InferenceSession>;
  failure(what: string, error: unknown): ModelError;
  close(): Promise<void>;
}

/** How far a run has come: values that stand before the piece. */
interface Progress {
  readonly feeds: ReadonlyMap<string, NdArray>;
  readonly at: number;
  readonly values: ReadonlyMap<string, OrtTensor>;
}

export function sessionInPieces({ ort, model, pieces, encoded, intermediates, create, failure, close }: InPieces): Session {
  const outputs = model.outputs.map(portOf);
  const askable = new Set([...(intermediates ?? []), ...outputs.map(({ name }) => name)]);
  const makerOf = new Map(pieces.flatMap(({ makes }, at) => [...makes].map((name) => [name, at] as const)));
  let open: { readonly what: string; readonly session: InferenceSession } | null = null;
  let progress: Progress | null = null;
  let running: Promise<unknown> = Promise.resolve();

  const release = async () => {
    const held = open;
    open = null;
    await held?.session.release();
  };

  const opened = async ({ at, values }: Progress): Promise<InferenceSession> => {
    const piece = pieces[at]!;
    const starts = piece.reads.map((name) => {
      const { type, dims } = values.get(name)!;
      if (!(type in DATA_TYPE)) throw new ModelError('engine', `"${name}" is of type ${type}, with which no piece of the model can begin`);
      return { name, type, dims };
    });
    // A piece is made for the sizes that it begins with.
    const what = JSON.stringify([at, starts]);
    if (open?.what === what) return open.session;
    await release();
    const shown = [...piece.makes].filter((name) => askable.has(name) || piece.leaves.has(name));
    open = { what, session: await create(encodePiece(encoded, piece, starts, shown)) };
    return open.session;
  };

  const started = (feeds: ReadonlyMap<string, NdArray>): Progress => {
    const types = new Map(model.inputs.map(({ name, dtype }) => [name, dtype ?? 'float32']));
    return { feeds, at: 0, values: new Map([...feeds].map(([name, array]) => [name, toOrt(ort, types.get(name) ?? 'float32', array)])) };
  };

  const run = async (feeds: ReadonlyMap<string, NdArray>, wanted: readonly string[]) => {
    const places = wanted.map((name) => (askable.has(name) ? makerOf.get(name) : undefined) ?? missing(name));
    const [first, last] = [Math.min(...places), Math.max(...places)];
    let now = progress?.feeds === feeds && first >= progress.at ? progress : started(feeds);
    const found = new Map<string, NdArray>();
    for (;;) {
      progress = now;
      const { reads, makes, leaves } = pieces[now.at]!;
      const session = await opened(now);
      const here = wanted.filter((name) => makes.has(name));
      const kept = now.at < last ? [...leaves].filter((name) => makes.has(name)) : [];
      const made = await session.run(Object.fromEntries(reads.map((name) => [name, now.values.get(name)!])), [...new Set([...here, ...kept])]);
      for (const name of here) found.set(name, fromOrt(made[name]!));
      if (now.at === last) return new Map(wanted.map((name) => [name, found.get(name)!]));
      now = { feeds, at: now.at + 1, values: new Map([...leaves].map((name) => [name, made[name] ?? now.values.get(name)!])) };
    }
  };

  return {
    inputs: model.inputs.map(portOf),
    outputs,
    intermediates,
    pieces: pieces.length,
    run(feeds, wanted = outputs.map(({ name }) => name)) {
      const next = running
        .then(() => run(feeds, wanted))
        .catch((error) => Promise.reject(error instanceof ModelError ? error : failure('fails to run it', error)));
      running = next.catch(() => {});
      return next;
    },
    async close() {
      await running;
      progress = null;
      await release();
      await close();
    },
  };
}

function missing(name: string): never {
  throw new ModelError('engine', `the model has no value named "${name}"`);
}

function portOf({ name, dtype, shape }: ReadPort): SessionPort {
  return { name, dtype: dtype ?? undefined, shape: (shape ?? []).map((size) => (typeof size === 'number' && size > 0 ? size : null)) };
}
