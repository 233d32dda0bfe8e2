/** Who makes and who reads each value of a map, as transforms look at it, and layers in the place of others. */
import type { Change } from '../model/edited.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { inferMap, type ValueType, valuesRead } from '../model/ops/index.js';

/** What a transform gives. */
export interface Transformed {
  readonly map: LayerMap;
  /** Null where there was nothing to do. */
  readonly change: Change | null;
}

/** That of a map, worked out once for all that look at it. */
export function wiringOf(map: LayerMap): Wiring {
  const wiring = WIRINGS.get(map) ?? new Wiring(map);
  WIRINGS.set(map, wiring);
  return wiring;
}

const WIRINGS = new WeakMap<LayerMap, Wiring>();

export class Wiring {
  #types: ReadonlyMap<string, ValueType> | null = null;
  readonly #makers = new Map<string, Layer>();
  readonly #readers = new Map<string, Layer[]>();
  /** Outputs of the net, and what graphs inside of kept nodes read by name. */
  readonly #named: ReadonlySet<string>;

  constructor(readonly map: LayerMap) {
    for (const layer of map.layers) {
      for (const value of layer.outputs) this.#makers.set(value, layer);
      for (const value of new Set(valuesRead(layer))) {
        const readers = this.#readers.get(value);
        if (readers) readers.push(layer);
        else this.#readers.set(value, [layer]);
      }
    }
    this.#named = new Set([...map.outputs.map(({ value }) => value), ...map.layers.flatMap(({ foreign }) => foreign?.captures ?? [])]);
  }

  /** Worked out when they are asked for: most nets have nothing that they decide. */
  get types(): ReadonlyMap<string, ValueType> {
    this.#types ??= inferMap(this.map);
    return this.#types;
  }

  /** Undefined for an input of the net. */
  maker(value: string | undefined): Layer | undefined {
    return this.#makers.get(value ?? '');
  }

  /** Each layer once, however often it reads the value. */
  readers(value: string): readonly Layer[] {
    return this.#readers.get(value) ?? [];
  }

  /** Whether something outside of the layers knows the value by its name. */
  isNamed(value: string): boolean {
    return this.#named.has(value);
  }

  /** The only layer that reads what a layer makes; null where there are several, or the net shows the value. */
  follower(layer: Layer): Layer | null {
    const [value = '', ...others] = layer.outputs;
    const [next, ...more] = this.readers(value);
    return next && more.length === 0 && others.length === 0 && !this.isNamed(value) ? next : null;
  }

  shape(value: string | undefined): ValueType['shape'] {
    return this.types.get(value ?? '')?.shape ?? null;
  }

  /** Whether all that reads values of `inner` is in it, but for what `end` makes. */
  isClosed(inner: ReadonlySet<Layer>, end: Layer): boolean {
    return [...inner].every(
      (layer) => layer === end || layer.outputs.every((value) => !this.isNamed(value) && this.readers(value).every((reader) => inner.has(reader))),
    );
  }
}

/** The map with layers in the place of others, which are left out where nothing stands for them, and without constants that nothing reads then. */
export function withLayers(map: LayerMap, instead: ReadonlyMap<Layer, Layer | null>): LayerMap {
  if (instead.size === 0) return map;
  const layers = map.layers.flatMap((layer) => (instead.has(layer) ? (instead.get(layer) ?? []) : [layer]));
  return { ...map, layers: withoutUnread(layers, map, ({ op }) => op === 'Constant') };
}

/**
 * Layers without those that nothing reads, last ones first, so that what only they read goes as well.
 *
 * @param mayGo whether a layer is one that may be left out
 */
export function withoutUnread(layers: readonly Layer[], { outputs }: Pick<LayerMap, 'outputs'>, mayGo: (layer: Layer) => boolean): Layer[] {
  const read = new Set(outputs.map(({ value }) => value));
  const kept = layers.toReversed().filter((layer) => {
    if (mayGo(layer) && !layer.outputs.some((output) => read.has(output))) return false;
    for (const value of valuesRead(layer)) read.add(value);
    return true;
  });
  return kept.toReversed();
}
