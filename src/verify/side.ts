/** A side of the comparison, whatever runs it: arrays in the source's layouts, by the layer map's port names. */
import { ModelError } from '../errors.js';
import type { LayerMap, Layout, Port } from '../model/layer-map.js';
import { toLayout } from './array.js';
import type { NdArray, Session } from './engine.js';

export type Arrays = ReadonlyMap<string, NdArray>;

export interface Side {
  /** Name of the engine, for reports and for its tolerance. */
  readonly name: string;
  /** Name, version and device. */
  readonly engine: string;
  run(feeds: Arrays, sample?: number): Promise<Arrays>;
  close(): Promise<void>;
}

/** Runs a session by the map's ports: by name, else by position where the numbers agree. */
export function portRunner(session: Session, map: LayerMap, layoutOf: (port: Port) => Layout): Side['run'] {
  const pair = (ports: readonly Port[], names: readonly string[], what: string) => {
    const byName = ports.every(({ name }) => names.includes(name));
    if (!byName && ports.length !== names.length) {
      throw new ModelError(
        'engine',
        `the runtime sees ${names.length} ${what} (${names.join(', ')}), the model has ${ports.length} (${ports.map(({ name }) => name).join(', ')})`,
      );
    }
    return ports.map((port, i) => ({ port, name: byName ? port.name : names[i]! }));
  };
  const inputs = pair(
    map.inputs,
    session.inputs.map(({ name }) => name),
    'inputs',
  );
  const outputs = pair(
    map.outputs,
    session.outputs.map(({ name }) => name),
    'outputs',
  );
  return async (feeds) => {
    const fed = new Map(inputs.map(({ port, name }) => [name, toLayout(feeds.get(port.name)!, port.layout, layoutOf(port))]));
    const results = await session.run(fed);
    return new Map(outputs.map(({ port, name }) => [port.name, toLayout(results.get(name)!, layoutOf(port), port.layout)]));
  };
}
