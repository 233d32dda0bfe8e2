/** Unique names: the first to ask for a name gets it, the next ones get it with a number. */
export class Names {
  readonly #taken = new Set<string>();

  /** @returns `wanted`, or `wanted_1`, `wanted_2`, ... */
  take(wanted: string): string {
    let name = wanted;
    for (let n = 1; this.#taken.has(name); n++) name = `${wanted}_${n}`;
    this.#taken.add(name);
    return name;
  }
}
