import type { LayerMap } from './layer-map.js';

/** Unique names: the first to ask for a name gets it, the next ones get it with a number. */
export class Names {
  readonly #taken = new Set<string>();
  /** Where the search for a name's number left off: it need not begin anew. */
  readonly #next = new Map<string, number>();

  /** @param first number of the second to ask: writers count from 1, readers from 2 */
  constructor(readonly first: 1 | 2 = 1) {}

  /** @returns `wanted`, or `wanted_<n>` */
  take(wanted: string): string {
    let name = wanted;
    let next = this.#next.get(wanted) ?? this.first;
    while (this.#taken.has(name)) name = `${wanted}_${next++}`;
    if (name !== wanted) this.#next.set(wanted, next);
    this.#taken.add(name);
    return name;
  }

  /** Takes a name that somebody else gives. */
  add(name: string): void {
    this.#taken.add(name);
  }

  /** Gives back what `take(wanted)` gave: whoever asks next gets it. */
  release(wanted: string, name: string): void {
    this.#taken.delete(name);
    if (name !== wanted) this.#next.set(wanted, Math.min(this.#next.get(wanted)!, Number(name.slice(wanted.length + 1))));
  }
}

/** All that a map has names for: layers, values, and what ports show. */
export function namesIn({ layers, inputs, outputs }: Pick<LayerMap, 'layers' | 'inputs' | 'outputs'>): Names {
  const names = new Names();
  for (const layer of layers) for (const name of [layer.name, ...layer.outputs]) names.add(name);
  for (const { value } of [...inputs, ...outputs]) names.add(value);
  return names;
}
