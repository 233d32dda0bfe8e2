/** Names of a classifier's classes, as files have them. */

export interface Labels {
  /** By the number of the class. */
  readonly names: readonly string[];
  /** Who says so: a file beside the model, its metadata, a key of a checkpoint, the user. */
  readonly from: string;
}

/** Under which a written file has them: a list in JSON. */
export const LABELS_KEY = 'weighbridge.labels';
/** ImageNet's largest list has 21,843. */
const MAX_CLASSES = 100_000;
const MAX_CHARACTERS = 2000;
/** Keys of metadata and of JSON documents under which class names are kept, by whom they are known. */
const KEYS = [LABELS_KEY, 'labels', 'classes', 'class_names', 'class_labels', 'id2label', 'idx_to_class', 'class_to_idx', 'class_indices', 'CLASSES', 'names'];

/**
 * A list of names in a text: one a line, or JSON. Numbers that count the lines, as Teachable Machine writes them (`0 cat`), are no part of
 * the names.
 *
 * @returns null where it is no such list
 */
export function parseLabels(text: string): readonly string[] | null {
  // Text in UTF-16, an archive, a model: no name has such characters.
  if (/[^\P{Cc}\t\n\v\f\r]/u.test(text)) return null;
  if (/^\s*[[{]/.test(text)) return namesFrom(parsed(text));
  const lines = text
    .replace(/^\uFEFF/, '')
    .replace(/(\r?\n)+$/, '')
    .split(/\r?\n/);
  const counted = lines.map((line) => /^(\d+)[\s:,]+(.*\S)\s*$/.exec(line));
  const isCounted = counted.every((match, i) => match !== null && Number(match[1]) === i);
  return checked(isCounted ? counted.map((match) => match![2]!) : lines);
}

/** Names in what a file says of itself in words; null where there are none. */
export function labelsIn(metadata: Readonly<Record<string, string>>, from: string): Labels | null {
  for (const key of KEYS) {
    const text = metadata[key];
    if (text === undefined) continue;
    // Python's own spelling of a dictionary or list, which exporters leave in metadata: {0: 'cat'}.
    const value =
      parsed(text) ?? parsed(text.replace(/([{,]\s*)(\d+)\s*:/g, '$1"$2":').replaceAll(/'((?:[^'\\]|\\.)*)'/g, (_, name: string) => JSON.stringify(name)));
    const names = namesFrom(value) ?? (value === undefined && text.includes(',') ? checked(text.split(',').map((name) => name.trim())) : null);
    if (names) return { names, from: `${from} (${key})` };
  }
  return null;
}

/** Dictionaries of a checkpoint that hold what is said of the model. */
const FACTS = ['hyper_parameters', 'hparams', 'meta', 'metadata', 'config'];

/** Names that a checkpoint keeps beside its weights; null where it keeps none. */
export function labelsInCheckpoint(root: unknown): Labels | null {
  if (!(root instanceof Map)) return null;
  const found = (value: unknown, from: string): Labels | null => {
    if (!(value instanceof Map)) return null;
    for (const key of KEYS) {
      const inner: unknown = value.get(key);
      const names = typeof inner === 'object' ? namesFrom(inner) : null;
      if (names) return { names, from: `${from}${key} of the checkpoint` };
    }
    return null;
  };
  return found(root, '') ?? FACTS.reduce<Labels | null>((labels, key) => labels ?? found(root.get(key), `${key}.`), null);
}

/** Names in a value as programs keep them: a list; names by number; numbers by name; any of these under a key that says so. */
export function namesFrom(value: unknown): readonly string[] | null {
  if (Array.isArray(value)) return checked(value);
  if (typeof value !== 'object' || value === null) return null;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  if (entries.length === 0 || entries.length > MAX_CLASSES) return null;
  const byNumber = new Map<number, unknown>();
  for (const [key, each] of entries) {
    const isNumber = typeof each === 'number' || typeof each === 'bigint';
    if (isNumber && typeof key === 'string') byNumber.set(Number(each), key);
    else if (/^\d+$/.test(String(key))) byNumber.set(Number(key), Array.isArray(each) ? each.at(-1) : each);
  }
  const isList = byNumber.size === entries.length && entries.every((_, i) => byNumber.has(i));
  if (isList) return checked(entries.map((_, i) => byNumber.get(i)));
  for (const key of KEYS) {
    const inner = entries.find(([name]) => name === key)?.[1];
    const names = typeof inner === 'object' ? namesFrom(inner) : null;
    if (names) return names;
  }
  return null;
}

function checked(names: readonly unknown[]): readonly string[] | null {
  const isOne = (name: unknown): name is string => typeof name === 'string' && name.length <= MAX_CHARACTERS;
  return names.length > 1 && names.length <= MAX_CLASSES && names.every(isOne) && names.some((name) => name.trim() !== '') ? names : null;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
