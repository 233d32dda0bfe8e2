/** Tables that translate one ecosystem's module names into another's. */

/**
 * A translation by patterns, the first that fits.
 *
 * `{s}` in a pattern stands for a number, `{s+1}` in the result for one more, `{s:a}` for a letter (0 is a; `{s:A}`: 1 is a); `{*}` stands
 * for the rest of a name. `'layer{s}.{b}.conv{i}': 'conv{s+1}_block{b+1}_{i}_conv'`.
 */
export function spelling(table: Readonly<Record<string, string>>): (path: string) => string | null {
  // Families have hundreds of patterns, and of most nobody asks more than how the stem is spelt: an expression is made when a path comes to it.
  const rules = Object.entries(table).map(([pattern, result]) => {
    let regex: RegExp | null = null;
    const match = pattern.includes('{')
      ? (path: string) => {
          regex ??= toRegex(pattern);
          return regex.exec(path);
        }
      : (path: string) => (path === pattern ? { groups: {} } : null);
    return { match, result };
  });
  const known = new Map<string, string | null>();
  return (path) => {
    let spelt = known.get(path);
    if (spelt === undefined) {
      spelt = null;
      for (const { match, result } of rules) {
        const found = match(path);
        if (!found) continue;
        const groups = found.groups as Readonly<Record<string, string>> | undefined;
        spelt = result.replace(/\{(\w+|\*)([+-]\d+|:[aA])?\}/g, (_, name: string, change?: string) =>
          changed(groups?.[name === '*' ? 'rest' : name] ?? '', change),
        );
        break;
      }
      spelt ??= inPlaceOf((layer) => table[layer], path);
      known.set(path, spelt);
    }
    return spelt;
  };
}

/**
 * What lies in a Sequential that somebody put in the place of a layer: `classifier.3.1.weight` is `head.1.weight` where `classifier.3` is `head`.
 *
 * @param known how layers are spelt
 */
export function inPlaceOf(known: (layer: string) => string | undefined, path: string): string | null {
  for (let end = path.lastIndexOf('.'); end > 0; end = path.lastIndexOf('.', end - 1)) {
    const spelt = known(path.slice(0, end));
    if (spelt !== undefined) return spelt.replaceAll(/$|(?=\|)/g, path.slice(end));
  }
  return null;
}

/** Keras's name of a layer without one of its own: the first of a kind has the bare word. */
export function counted(kind: string, index: number): string {
  return index === 0 ? kind : `${kind}_${index}`;
}

/** The same names where a reader took off what all of them begin with. */
export const withoutPrefix =
  (prefix: string) =>
  (path: string): string | null =>
    path.startsWith(prefix) ? path.slice(prefix.length) : null;

/**
 * Names in a Sequential of a net's children, `nn.Sequential(*list(net.children())[:-1])`, which have numbers in the place of names.
 *
 * @param children in the order in which torchvision's class has them, those without weights too
 */
export function byPlace(children: string): (path: string) => string | null {
  const places = new Map(children.split(' ').map((name, i) => [name, String(i)]));
  return (path) => {
    const [top = '', ...rest] = path.split('.');
    const place = places.get(top);
    return place === undefined ? null : [place, ...rest].join('.');
  };
}

export const asItIs = (path: string): string => path;

function toRegex(pattern: string): RegExp {
  const source = pattern
    .split(/(\{(?:\w+|\*)\})/)
    .map((part) => {
      const name = /^\{(\w+|\*)\}$/.exec(part)?.[1];
      if (name === undefined) return part.replace(/[.*+?^$()|[\]\\]/g, '\\$&');
      return name === '*' ? '(?<rest>.*)' : `(?<${name}>\\d+)`;
    })
    .join('');
  return new RegExp(`^${source}$`);
}

function changed(value: string, change: string | undefined): string {
  if (change === undefined) return value;
  const letter = Number(value) - (change === ':A' ? 1 : 0);
  // More blocks than letters: the authors of ResNet go on with numbers.
  if (change.startsWith(':')) return letter < 26 ? String.fromCharCode(97 + letter) : `b${letter}`;
  return String(Number(value) + Number(change));
}
