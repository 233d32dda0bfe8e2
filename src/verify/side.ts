/** A side of the comparison, whatever runs it: arrays in the source's layouts, one for each port of the layer map. */
import { closingOnError } from '../bytes/closing.js';
import { isModelError, ModelError } from '../errors.js';
import type { LayerMap, Layout, Port } from '../model/layer-map.js';
import { toLayout } from './array.js';
import type { Availability, Engine, EngineChoice, EngineModel, NdArray, Session, SessionPort } from './engine.js';
import { apart, selectEngine } from './engines/index.js';
import { type Alignment, alignPorts, requirePlaces } from './ports.js';

/** One for each port, in the order of the map's ports: names may repeat, places do not. Undefined where a side has none. */
export type Arrays = readonly (NdArray | undefined)[];
/** What is fed: nothing is left out. */
export type Feeds = readonly NdArray[];

export interface Side {
  /** Name of the engine, for reports and for its tolerance. */
  readonly name: string;
  /** Name, version and device. */
  readonly engine: string;
  run(feeds: Feeds, sample?: number): Promise<Arrays>;
  close(): Promise<void>;
}

type Ports = Pick<LayerMap, 'inputs' | 'outputs'>;

/** Turns arrays of the map's ports into those of a session, and back. */
export interface PortAdapter {
  /** How the session's ports were found to be the map's. */
  readonly aligned: { readonly inputs: Alignment; readonly outputs: Alignment };
  /** What the session has no input for is not fed. */
  feed(feeds: Feeds): Map<string, NdArray>;
  /** Undefined where the session has no output for a port. */
  show(results: ReadonlyMap<string, NdArray>): Arrays;
  /** The session's name of an output of the map. */
  outputOf(port: Port): string | undefined;
}

/** Formats whose runtimes here are other programs' importers, which cannot run all that the format's own framework can. */
export const IMPORTED: ReadonlySet<string> = new Set(['keras-h5', 'keras-v3', 'caffe']);

/** The file in the engine; where an importer cannot take it, in our own evaluator as our own reader reads it, and that is told. */
export async function openOrReread(
  engine: Engine,
  availability: Availability,
  target: EngineModel & { readonly format: string },
  choice: EngineChoice,
  notes: string[],
): Promise<{ session: Session; used: Engine; detail: string }> {
  try {
    return { session: await engine.open(target), used: engine, detail: availability.detail };
  } catch (error) {
    if (choice.engine !== undefined || !isModelError(error)) throw error;
    if (engine.name === 'tfjs-wasm') {
      const { tfjsCpu } = await import('./engines/tfjs-cpu.js');
      const other = await tfjsCpu.open(target).catch(() => null);
      if (other) {
        notes.push(`the written file was run by ${tfjsCpu.name}, because ${engine.name} cannot run it: ${error.problem}`);
        return { session: other, used: tfjsCpu, detail: (await tfjsCpu.availability()).detail };
      }
    }
    if (!IMPORTED.has(target.format)) throw error;
    notes.push(`the written file was run by our own evaluator, as our own reader reads it, because ${engine.name} cannot run it: ${error.problem}`);
    const { reference } = await import('./engines/reference.js');
    return { session: await reference.open(target), used: reference, detail: (await reference.availability()).detail };
  }
}

/** The layout that a port of the map has in a session, which shows it so. */
export type LayoutOf = (port: Port, shown: SessionPort) => Layout;

/** For each port of the map the place of the session's port that it is. */
export interface Places {
  readonly inputs: readonly (number | null)[];
  readonly outputs: readonly (number | null)[];
}

/** The file's names for the map's ports, in the order of the map's. */
export interface PortNames {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** How ports are found where names do not say it. */
export interface PortsKnown {
  /** Whether the session's ports come in the order of the map's, as those of a file do that was written from it. */
  readonly keepsOrder?: boolean;
  /** Other places than names, order and shapes give. */
  readonly places?: Places;
  /** The session's names for the map's ports, where what they do told it. */
  readonly names?: PortNames;
}

/**
 * @throws ModelError 'engine' where no port of the map has a counterpart
 */
export function adaptPorts(
  session: Pick<Session, 'inputs' | 'outputs'>,
  map: Ports,
  layoutOf: LayoutOf,
  { places: given, names, keepsOrder }: PortsKnown = {},
): PortAdapter {
  const places = given ?? (names && placesOf(session, names));
  const aligned = {
    inputs: alignPorts(map.inputs, session.inputs, keepsOrder),
    outputs: alignPorts(map.outputs, session.outputs, keepsOrder),
  };
  const shown = (what: 'inputs' | 'outputs') =>
    (places?.[what] ?? requirePlaces(aligned[what], map[what], session[what], what)).map((place) => session[what][place ?? -1]);
  const [inputs, outputs] = [shown('inputs'), shown('outputs')];
  const taken = (what: 'inputs' | 'outputs') => ({ ...aligned[what], places: places?.[what] ?? aligned[what].places });
  return {
    aligned: { inputs: taken('inputs'), outputs: taken('outputs') },
    feed(feeds) {
      const entries = map.inputs.flatMap((port, i) => {
        const own = inputs[i];
        return own ? [[own.name, toLayout(feeds[i]!, port.layout, layoutOf(port, own))] as const] : [];
      });
      return new Map(entries);
    },
    show: (results) =>
      map.outputs.map((port, i) => {
        const own = outputs[i];
        return own && toLayout(results.get(own.name)!, layoutOf(port, own), port.layout);
      }),
    outputOf: (wanted) => outputs[map.outputs.indexOf(wanted)]?.name,
  };
}

function placesOf(session: Pick<Session, 'inputs' | 'outputs'>, names: PortNames): Places {
  const among = (what: 'inputs' | 'outputs') =>
    names[what].map((name) => session[what].findIndex((port) => port.name === name)).map((at) => (at < 0 ? null : at));
  return { inputs: among('inputs'), outputs: among('outputs') };
}

/** Runs a session by the map's ports. */
export function portRunner(session: Session, map: Ports, layoutOf: LayoutOf): Side['run'] {
  const ports = adaptPorts(session, map, layoutOf);
  return async (feeds) => ports.show(await session.run(ports.feed(feeds)));
}

/** A side that keeps its last answer, for whoever asks again with the same arrays. */
export function remembering(run: Side['run']): Side['run'] {
  let last: { feeds: Feeds; answer: Arrays } | null = null;
  return async (feeds, sample) => {
    if (last?.feeds !== feeds) last = { feeds, answer: await run(feeds, sample) };
    return last.answer;
  };
}

export interface Actual extends Side {
  /** As the runtime states them. */
  readonly inputs: Session['inputs'];
  readonly outputs: Session['outputs'];
  /** How the session's ports were found to be the map's, with the places that were assigned. */
  readonly aligned: PortAdapter['aligned'];
  /** The adapter's name on a GPU, else 'cpu'. */
  readonly device: string;
  /** Whether names leave open which port is which. */
  readonly isAmbiguous: boolean;
  /** Takes other places for its ports from now on. */
  assign(places: Places): void;
}

/**
 * Opens the written file in a runtime of its format.
 *
 * @param keepsOrder see `PortsKnown`
 * @param isApart whether it runs in a process of its own where there is a host
 * @throws ModelError 'engine' when none can run it
 */
export async function openActual(
  target: EngineModel & { readonly format: string },
  ports: Ports,
  layoutOf: LayoutOf,
  choice: EngineChoice,
  notes: string[],
  { keepsOrder = false, isApart = false }: Pick<PortsKnown, 'keepsOrder'> & { readonly isApart?: boolean } = {},
): Promise<Actual> {
  const { engine: selected, availability, passedOver } = await selectEngine(target.format, choice);
  const runsApart = isApart && target.path !== undefined && selected.device === 'cpu' && !selected.isOwn;
  const engine = runsApart && choice.host ? apart(selected, choice.host) : selected;
  const without = choice.device === 'auto' && engine.device === 'cpu' ? 'no GPU was used:' : 'not run with';
  notes.push(...passedOver.map((reason) => `${without} ${reason}`));
  const { session, used, detail } = await openOrReread(engine, availability, target, choice, notes);
  if (session.pieces !== undefined) {
    notes.push(`${used.name} ran the file in ${session.pieces} pieces, one after the other: all of its weights at once would take much memory`);
  }
  let adapter = await closingOnError(session, () => adaptPorts(session, ports, layoutOf, { keepsOrder }));
  const [more] = session.inputs.filter((_, i) => !adapter.aligned.inputs.places.includes(i));
  const runner = () =>
    remembering(async (feeds) => {
      try {
        return adapter.show(await session.run(adapter.feed(feeds)));
      } catch (error) {
        if (!isModelError(error)) throw error;
        const unfit = session.inputs.flatMap((port) => tellUnfit(port, adapter.feed(feeds).get(port.name)) ?? [])[0];
        const problem = unfit ?? (more && `the file has an input more than the source, "${more.name}", and what to feed to it is not known`);
        if (!problem) throw error;
        throw new ModelError('engine', problem, { file: target.files.label }, error);
      }
    });
  let run = runner();
  return {
    name: used.name,
    engine: `${used.name} (${detail})`,
    device: availability.adapter?.name ?? used.device,
    inputs: session.inputs,
    outputs: session.outputs,
    get aligned() {
      return adapter.aligned;
    },
    isAmbiguous: adapter.aligned.inputs.candidates.length + adapter.aligned.outputs.candidates.length > 0,
    assign: (places) => {
      adapter = adaptPorts(session, ports, layoutOf, { places, keepsOrder });
      run = runner();
    },
    run: (feeds) => run(feeds),
    close: () => session.close(),
  };
}

/** Why an input cannot take what the source does, in words; null where its sizes allow it. */
function tellUnfit({ name, shape }: SessionPort, fed: NdArray | undefined): string | null {
  // Who does not know a rank states no axes.
  if (!fed || shape.length === 0) return null;
  const isFit = shape.length === fed.shape.length && shape.every((size, i) => typeof size !== 'number' || size === fed.shape[i]);
  if (isFit) return null;
  const declared = `input "${name}" of the file is [${shape.map((size) => size ?? 'free')}], and the source takes [${fed.shape}]`;
  const [batch, ...sizes] = shape;
  if (`${sizes}` === `${fed.shape.slice(1)}`)
    return `${declared}: the file's batch is fixed to ${batch}. Export it with a free batch, or with one of ${fed.shape[0]}.`;
  const inOrder = (list: readonly unknown[]) => `${[...list].sort()}`;
  const isTurned = shape.length === fed.shape.length && inOrder(sizes) === inOrder(fed.shape.slice(1));
  return `${declared}${isTurned ? ': the axes are in another order' : ''}. The two are not models of one net as they are; what lies between them is to be put into one of them first.`;
}
