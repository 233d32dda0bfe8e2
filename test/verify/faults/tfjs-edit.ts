/** Edits written TensorFlow.js models, to put conversion faults into them one at a time. */

/** A model with one shard, its parts by file name. */
export type Shards = Readonly<Record<string, Uint8Array>>;

type Json = Record<string, unknown>;

interface WeightEntry {
  name: string;
  readonly shape: readonly number[];
}

export interface TfjsModel {
  /** Configuration of a layer of a layers model. */
  config(layer: string): Json;
  /** A layer of a layers model, or a node of a graph model. */
  part(name: string): Json;
  entry(name: string): WeightEntry;
  /** Values of a weight, to be changed in place. */
  values(name: string): Float32Array;
}

export type TfjsEdit = (model: TfjsModel) => void;

/** The model with one change. */
export function editTfjs(files: Shards, edit: TfjsEdit): Shards {
  const json = JSON.parse(new TextDecoder().decode(files['model.json']));
  const [{ paths, weights }] = json.weightsManifest as [{ paths: string[]; weights: WeightEntry[] }];
  const bytes = Uint8Array.from(files[paths[0]!]!);
  const topology = json.modelTopology;
  const parts: Json[] = topology.node ?? topology.model_config.config.layers;
  const count = ({ shape }: WeightEntry) => shape.reduce((product, size) => product * size, 1);
  const found = <T>(value: T | undefined, name: string): T => {
    if (value === undefined) throw new Error(`there is no ${name}`);
    return value;
  };
  const part = (name: string) =>
    found(
      parts.find((candidate) => ((candidate.config as Json | undefined)?.name ?? candidate.name) === name),
      name,
    );
  const entry = (name: string) =>
    found(
      weights.find((candidate) => candidate.name === name),
      name,
    );
  edit({
    part,
    config: (layer) => part(layer).config as Json,
    entry,
    values(name) {
      const before = weights.slice(0, weights.indexOf(entry(name))).reduce((sum, weight) => sum + count(weight), 0);
      return new Float32Array(bytes.buffer, 4 * before, count(entry(name)));
    },
  });
  return { ...files, 'model.json': new TextEncoder().encode(JSON.stringify(json)), [paths[0]!]: bytes };
}

/** Rewrites a weight: the value at an index becomes the one at another. */
export function moveValues(name: string, from: (index: number[], dims: readonly number[]) => number[]): TfjsEdit {
  return (model) => {
    const { shape } = model.entry(name);
    const values = model.values(name);
    const before = values.slice();
    values.forEach((_, i) => {
      const index: number[] = [];
      let rest = i;
      for (const size of shape.toReversed()) {
        index.unshift(rest % size);
        rest = Math.floor(rest / size);
      }
      values[i] = before[from(index, shape).reduce((at, place, axis) => at * shape[axis]! + place, 0)]!;
    });
  };
}
