/** Finds the model's weights in what a PyTorch file holds: a state dict, a checkpoint around one or several, or a pickled module. */
import { PickleObject } from '../../containers/pickle/index.js';
import { ModelError } from '../../errors.js';
import type { Notice } from '../../model/layer-map.js';
import { isModelRole, ROLE_WORDS, roleRank, type WeightRole, weightRole } from '../../model/weight-roles.js';
import { clipped, listed } from '../../words.js';
import { beginnings } from '../keyed.js';
import { type Collection, Contents, isModule, isTensor, joined, type NamedView, strangeNames, type UnreadTensor } from './contents.js';

/** What a pickle was rebuilt into. */
interface Rebuilt {
  readonly value: unknown;
  readonly opaque: ReadonlyMap<string, PickleObject>;
}

export interface Checkpoint {
  /** The model's tensors, with their names below the model's own dictionary. */
  readonly views: readonly NamedView[];
  /** Tensors of the model's dictionary that are of kinds that are not read. */
  readonly unread: readonly UnreadTensor[];
  /** Tensors of the checkpoint outside the model's dictionary, with their full names. */
  readonly beside: readonly NamedView[];
  /** Keys that lead to the model's dictionary in a checkpoint. */
  readonly path: readonly string[];
  readonly warnings: readonly Notice[];
}

/** Keys under which checkpoints keep the model, the likeliest first. */
const MODEL_KEYS = ['state_dict', 'model_state_dict', 'model_state', 'model', 'net', 'params', 'weights', 'module'];
/** Keys that are named to whoever asks for one that is not there. */
const MAX_KEYS = 16;
/** Libraries whose models are pickled too, by the modules of their classes, and what to do. Nothing of such a file is executed. */
const OTHER_LIBRARIES: readonly { readonly names: RegExp; readonly library: string; readonly advice: string }[] = [
  { names: /^sklearn\./, library: 'scikit-learn', advice: 'skl2onnx writes it as ONNX.' },
  { names: /^(xgboost|lightgbm|catboost)\./, library: 'boosted trees', advice: 'onnxmltools writes it as ONNX.' },
];
/** Dictionaries in dictionaries that lead to a model; real ones have three levels. */
const MAX_LEVELS = 20;

/**
 * @param key path of the dictionary that the caller wants, its keys joined by dots; left out: the likeliest
 * @throws ModelError 'malformed' when there is no tensor at all, 'usage' when nothing with tensors is under `key`
 */
export function findModel({ value: root, opaque }: Rebuilt, file: string, key?: string): Checkpoint {
  const contents = new Contents(root, file);
  if (!contents.holds(root)) {
    const made = strangeNames(opaque);
    const other = OTHER_LIBRARIES.find(({ names }) => made.some((name) => names.test(name)));
    if (other) throw new ModelError('unsupported', `this is a model of ${other.library} (${listed(made)}), and no network: ${other.advice}`, { file });
    const what = made.length > 0 ? `; it makes ${listed(made)}, and nothing of them was executed` : '';
    throw new ModelError('malformed', `there is no tensor in this file${what}. Was it saved with torch.save(model.state_dict(), ...)?`, { file });
  }
  const search = new Search(contents);
  let below = '';
  if (key !== undefined) below = search.follow(key);
  else if (isOptimiser(root)) search.leave(root);
  search.descend(key === undefined);
  return search.result(below);
}

interface Entry {
  readonly key: string;
  readonly value: unknown;
  readonly role: WeightRole | null;
}

/** A way down from a file's root to the dictionary that is the model. */
class Search {
  readonly path: string[] = [];
  readonly warnings: Notice[] = [];
  readonly beside: Collection = { views: [], unread: [] };
  /** Null where nothing of the file is a model. */
  dictionary: unknown;
  /** Entries of the dictionary that are no part of the model, and were told. */
  readonly #left = new Set<string>();

  constructor(readonly contents: Contents) {
    this.dictionary = contents.root;
  }

  /** Goes on to the likeliest dictionary, level by level. */
  descend(tells: boolean): void {
    while (this.dictionary !== null && !isTensor(this.dictionary) && !isModule(this.dictionary) && this.path.length < MAX_LEVELS) {
      const chosen = this.#choose(tells);
      if (!chosen) return;
      this.#enter(chosen);
    }
  }

  /**
   * Goes where the caller points: from the top of the file, or from the dictionary that would be taken without a word.
   *
   * @returns what all names that are meant begin with in the dictionary that was reached, '' for all of it
   */
  follow(wanted: string): string {
    let rest = wanted;
    while (rest !== '') {
      const entries = this.#entries();
      const fits = entries.filter(({ key, value }) => !isTensor(value) && (rest === key || rest.startsWith(`${key}.`)));
      const next = fits.sort((a, b) => b.key.length - a.key.length)[0];
      if (!next) {
        if (entries.some(({ key }) => key.startsWith(`${rest}.`))) return rest;
        const usual = this.dictionary === null || isTensor(this.dictionary) || isModule(this.dictionary) ? null : this.#choose(false);
        if (!usual) throw this.#noSuchKey(wanted);
        this.#enter(usual);
        continue;
      }
      if (next.role === 'optimiser') {
        throw new ModelError('usage', `${JSON.stringify(wanted)} is ${ROLE_WORDS.optimiser}, which is never taken for weights`, { file: this.contents.file });
      }
      this.#enter(next);
      rest = rest.slice(next.key.length + 1);
    }
    return '';
  }

  /** Takes nothing of the file for a model. */
  leave(value: unknown): void {
    this.contents.collect(value, this.path.join('.'), this.beside);
    this.dictionary = null;
  }

  result(below: string): Checkpoint {
    const found: Collection = { views: [], unread: [] };
    if (this.dictionary !== null) {
      for (const { key, value } of isModule(this.dictionary) || isTensor(this.dictionary) ? [] : this.#entries()) {
        const isLeft = this.#left.has(key);
        this.contents.collect(value, isLeft ? this.#nameOf(key) : key, isLeft ? this.beside : found);
      }
      if (isModule(this.dictionary) || isTensor(this.dictionary)) this.contents.collect(this.dictionary, '', found);
    }
    const isMeant = ({ name }: { readonly name: string }) => below === '' || name.startsWith(`${below}.`);
    const shortened = <Named extends { readonly name: string }>(named: Named) =>
      below === '' ? named : { ...named, name: named.name.slice(below.length + 1) };
    for (const { name, view } of found.views.filter((named) => !isMeant(named))) this.beside.views.push({ name: this.#nameOf(name), view });
    return {
      views: found.views.filter(isMeant).map(shortened),
      unread: found.unread.filter(isMeant).map(shortened),
      beside: this.beside.views,
      path: below === '' ? this.path : [...this.path, below],
      warnings: this.warnings,
    };
  }

  #entries(): Entry[] {
    return this.contents.entries(this.dictionary).map(([key, value]) => ({ key, value, role: isOptimiser(value) ? 'optimiser' : weightRole(key) }));
  }

  #nameOf(key: string): string {
    return joined(this.path.join('.'), key);
  }

  #enter(chosen: Entry): void {
    for (const { key, value } of this.#entries()) if (key !== chosen.key) this.contents.collect(value, this.#nameOf(key), this.beside);
    this.path.push(chosen.key);
    this.dictionary = chosen.value;
    this.#left.clear();
  }

  /** The entry that is, or leads to, the model; null where the dictionary itself is the model, or nothing in it. */
  #choose(tells: boolean): Entry | null {
    const entries = this.#entries();
    const nested = entries.filter(({ value }) => !isTensor(value));
    const direct = entries.filter(({ value }) => isTensor(value));
    if (nested.length === 0 || isStateDict(direct, nested.length)) return null;
    if (nested.length === 1 && direct.length === 0) {
      // What is alone keeps its full name, unless that says nothing of the net: the usual one, that of an average, the place in a list.
      const [only] = nested as [Entry];
      if (!isModelRole(only.role)) this.leave(this.dictionary);
      const isPlace = only.role === 'average' || Array.isArray(this.dictionary);
      return MODEL_KEYS.includes(only.key) || (isPlace && this.#isWhole(only.value)) ? only : null;
    }
    // Parameters may lie in dictionaries by layer too, and a layer may be called `net`: one among layers is no model.
    const isPart = ({ key, role, value }: Entry) => role !== null && (role !== 'model' || key.endsWith('state_dict') || this.#isWhole(value));
    if (!nested.some(isPart) && (direct.length > 0 || !nested.every(({ value }) => this.#isWhole(value)))) return null;
    const candidates = nested.filter(({ role }) => isModelRole(role)).sort((a, b) => rankOf(a) - rankOf(b));
    const [best, second] = candidates;
    if (!best) {
      // Bare tensors beside an optimiser are a model of one layer; nothing but an optimiser is none.
      if (direct.length > 0) this.#setAside(nested, tells);
      else this.leave(this.dictionary);
      return null;
    }
    if (second && best.role === null && second.role === null) {
      const both = candidates.filter(({ role }) => role === null);
      this.#setAside(
        entries.filter((entry) => !both.includes(entry)),
        tells,
      );
      if (tells) {
        this.warnings.push({
          code: 'checkpoint-several',
          message: `${named(both)} hold weights, and none of them is known to be the model: all were taken. --weights-key ${this.#nameOf(both[0]!.key)} takes one`,
        });
      }
      return null;
    }
    const others = entries.filter((entry) => entry !== best);
    if (tells && others.length > 0) {
      const other = candidates[1];
      const hint = other ? `; --weights-key ${clipped(this.#nameOf(other.key))} takes another` : '';
      const are = others.length === 1 ? 'also holds tensors and is' : 'also hold tensors and are';
      this.warnings.push({
        code: 'checkpoint-part-ignored',
        message: `the model is under ${quoted(this.#nameOf(best.key))}; ${named(others)} ${are} no part of it${hint}`,
      });
    }
    return best;
  }

  /** Leaves entries of the model's dictionary out of the model. */
  #setAside(entries: readonly Entry[], tells: boolean): void {
    for (const { key } of entries) this.#left.add(key);
    if (tells && entries.length > 0) this.warnings.push({ code: 'checkpoint-part-ignored', message: `${named(entries)}: no part of the model, left out` });
  }

  /** Whether a value is a model of its own: a module, or a dictionary whose names have dots, or one around such a thing. */
  #isWhole(value: unknown, levels = 3): boolean {
    if (isModule(value)) return true;
    const entries = this.contents.entries(value);
    if (entries.some(([key]) => key.includes('.'))) return true;
    return levels > 0 && entries.length <= 64 && entries.some(([, child]) => !isTensor(child) && this.#isWhole(child, levels - 1));
  }

  #noSuchKey(wanted: string): ModelError {
    const known: string[] = [];
    const prefixes: string[] = [];
    const list = (value: unknown, path: string, levels: number) => {
      const entries = levels > 0 && !isModule(value) ? this.contents.entries(value) : [];
      for (const [key, child] of entries) {
        if (isTensor(child) || known.length >= MAX_KEYS) continue;
        known.push(joined(path, key));
        list(child, joined(path, key), levels - 1);
      }
      for (const prefix of beginnings(entries.flatMap(([key, child]) => (isTensor(child) ? [key] : []))).map((key) => joined(path, key))) prefixes.push(prefix);
    };
    list(this.contents.root, '', 3);
    for (const prefix of prefixes) known.push(prefix);
    const there = known.length > 0 ? `There are: ${listed(known, MAX_KEYS)}.` : 'It holds one dictionary, which is taken without a key.';
    return new ModelError('usage', `nothing under ${quoted(wanted)} holds weights. ${there}`, { file: this.contents.file });
  }
}

/** What torch.optim's state_dict() is made of, or an optimiser itself. */
function isOptimiser(value: unknown): boolean {
  const state = value instanceof PickleObject ? value.state : value;
  return state instanceof Map && state.has('param_groups') && state.has('state');
}

/** Tensors of a state dict have dots in their names, mostly; what is nested in one is an extra state. */
function isStateDict(direct: readonly Entry[], nested: number): boolean {
  return direct.length > nested && direct.filter(({ key }) => key.includes('.')).length * 2 >= direct.length;
}

function rankOf({ key, role }: Entry): number {
  const place = MODEL_KEYS.indexOf(key);
  return roleRank(role) * 100 + (place < 0 ? MODEL_KEYS.length : place);
}

function named(entries: readonly Entry[]): string {
  const words = entries.map(({ key, role }) => (role === null || role === 'model' ? quoted(key) : `${quoted(key)} (${ROLE_WORDS[role]})`));
  return listed(words, 12);
}

function quoted(key: string): string {
  return JSON.stringify(clipped(key));
}
