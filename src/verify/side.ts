/** A side of the comparison, whatever runs it: arrays in the source's layouts, by the layer map's port names. */
import { ModelError } from '../errors.js';
import type { LayerMap, Layout, Port } from '../model/layer-map.js';
import { toLayout } from './array.js';
import type { EngineChoice, EngineModel, NdArray, Session, SessionPort } from './engine.js';
import { selectEngine } from './engines/index.js';

export type Arrays = ReadonlyMap<string, NdArray>;

export interface Side {
  /** Name of the engine, for reports and for its tolerance. */
  readonly name: string;
  /** Name, version and device. */
  readonly engine: string;
  run(feeds: Arrays, sample?: number): Promise<Arrays>;
  close(): Promise<void>;
}

/** Turns arrays of the map's ports into those of a session, and back. */
export interface PortAdapter {
  feed(feeds: Arrays): Map<string, NdArray>;
  show(results: Arrays): Map<string, NdArray>;
  /** The session's name of an output of the map. */
  outputOf(port: Port): string;
}

/**
 * Pairs ports by name, else by position where the numbers agree.
 *
 * @param layoutOf the layout that a port of the map has in the session
 * @throws ModelError 'engine' where they cannot be paired
 */
export function adaptPorts(session: Session, map: Pick<LayerMap, 'inputs' | 'outputs'>, layoutOf: (port: Port) => Layout): PortAdapter {
  const inputs = pairPorts(map.inputs, session.inputs, 'inputs');
  const outputs = pairPorts(map.outputs, session.outputs, 'outputs');
  return {
    feed: (feeds) => new Map(inputs.map(({ port, name }) => [name, toLayout(feeds.get(port.name)!, port.layout, layoutOf(port))])),
    show: (results) => new Map(outputs.map(({ port, name }) => [port.name, toLayout(results.get(name)!, layoutOf(port), port.layout)])),
    outputOf: (wanted) => outputs.find(({ port }) => port === wanted)!.name,
  };
}

function pairPorts(ports: readonly Port[], shown: readonly SessionPort[], what: string): { readonly port: Port; readonly name: string }[] {
  const names = shown.map(({ name }) => name);
  const byName = ports.every(({ name }) => names.includes(name));
  if (!byName && ports.length !== names.length) {
    throw new ModelError(
      'engine',
      `the runtime sees ${names.length} ${what} (${names.join(', ')}), the model has ${ports.length} (${ports.map(({ name }) => name).join(', ')})`,
    );
  }
  return ports.map((port, i) => ({ port, name: byName ? port.name : names[i]! }));
}

/** Runs a session by the map's ports. */
export function portRunner(session: Session, map: Pick<LayerMap, 'inputs' | 'outputs'>, layoutOf: (port: Port) => Layout): Side['run'] {
  const ports = adaptPorts(session, map, layoutOf);
  return async (feeds) => ports.show(await session.run(ports.feed(feeds)));
}

export interface Actual extends Side {
  /** As the runtime states them. */
  readonly inputs: Session['inputs'];
  /** The adapter's name on a GPU, else 'cpu'. */
  readonly device: string;
}

/**
 * Opens the written file in a runtime of its format.
 *
 * @param layoutOf the layout that a port has in the file
 * @throws ModelError 'engine' when none can run it
 */
export async function openActual(
  target: EngineModel & { readonly format: string },
  ports: Pick<LayerMap, 'inputs' | 'outputs'>,
  layoutOf: (port: Port) => Layout,
  choice: EngineChoice,
  notes: string[],
): Promise<Actual> {
  const { engine, availability, passedOver } = await selectEngine(target.format, choice);
  const without = choice.device === 'auto' && engine.device === 'cpu' ? 'no GPU was used:' : 'not run with';
  notes.push(...passedOver.map((reason) => `${without} ${reason}`));
  const session = await engine.open(target);
  const device = availability.adapter?.name ?? engine.device;
  return {
    name: engine.name,
    engine: `${engine.name} (${availability.detail})`,
    device,
    inputs: session.inputs,
    run: portRunner(session, ports, layoutOf),
    close: () => session.close(),
  };
}
