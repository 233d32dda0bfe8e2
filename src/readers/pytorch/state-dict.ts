/** Finds the model's weights in what a PyTorch file holds: a state dict, a checkpoint around one, or a pickled module. */
import { PickleObject } from '../../containers/pickle.js';
import { ModelError } from '../../errors.js';
import type { Notice } from '../../model/layer-map.js';
import { StoredView } from './rebuild.js';

export interface NamedView {
  /** Keys and module names joined by dots, below the model's own dictionary. */
  readonly name: string;
  readonly view: StoredView;
}

export interface StateDict {
  readonly views: readonly NamedView[];
  /** Tensors of the checkpoint outside the model's dictionary, with their full names. */
  readonly beside: readonly NamedView[];
  /** Keys that lead to the model's dictionary in a checkpoint. */
  readonly path: readonly string[];
  readonly warnings: readonly Notice[];
}

/** Keys under which checkpoints keep the model, the likeliest first. */
const MODEL_KEYS = ['state_dict', 'model_state_dict', 'model_state', 'model', 'net', 'params', 'weights'];
/** Entries of a checkpoint that hold tensors which are not the model's. */
const NOT_THE_MODEL = /optim|sched|scaler|ema|rng|amp|loss|meter|momentum|history/i;
const MAX_DEPTH = 100;
/** A pickle that refers to the same dictionary again and again can name more tensors than memory holds. */
const MAX_TENSORS = 200_000;

/** @throws ModelError 'malformed' when there is no tensor at all */
export function findStateDict(value: unknown, file: string): StateDict {
  const holding = holdersOfTensors(value);
  const holdsTensors = (item: unknown) => holding.has(item as object);
  const path: string[] = [];
  const warnings: Notice[] = [];
  const beside: NamedView[] = [];
  let dictionary = value;
  while (dictionary instanceof Map && path.length < MAX_DEPTH) {
    const entries = [...dictionary].filter(([, item]) => holdsTensors(item));
    // A state dict is flat; what a checkpoint keeps beside one may be a bare tensor, such as the best accuracy so far.
    const candidates = entries.filter(([key, item]) => !(item instanceof StoredView) && !NOT_THE_MODEL.test(String(key)));
    const chosen = MODEL_KEYS.map((key) => candidates.find(([candidate]) => candidate === key)).find(Boolean);
    if (!chosen) break;
    const others = entries.filter((entry) => entry !== chosen);
    for (const [key, item] of others) collect(item, [...path, String(key)].join('.'), { views: beside, holding, file });
    const left = others.map(([key]) => String(key));
    if (left.length > 0)
      warnings.push({
        code: 'checkpoint-part-ignored',
        message: `the model is under ${JSON.stringify(String(chosen[0]))}; ${left.map((key) => JSON.stringify(key)).join(', ')} also hold tensors and are no part of it`,
      });
    path.push(String(chosen[0]));
    dictionary = chosen[1];
  }
  const views: NamedView[] = [];
  collect(dictionary, '', { views, holding, file });
  if (views.length === 0)
    throw new ModelError('malformed', 'there is no tensor in this file. Was it saved with torch.save(model.state_dict(), ...)?', { file });
  return { views, beside, path, warnings };
}

/** The tensors, and every container that leads to one; each is looked at once, however often and deep it is referred to. */
function holdersOfTensors(root: unknown): ReadonlySet<object> {
  const parents = new Map<object, object[]>();
  const holding = new Set<object>();
  const pending: object[] = [];
  const visit = (value: unknown, parent: object | null) => {
    if (typeof value !== 'object' || value === null) return;
    const known = parents.get(value);
    if (known) known.push(...(parent ? [parent] : []));
    else {
      parents.set(value, parent ? [parent] : []);
      pending.push(value);
    }
  };
  visit(root, null);
  const views: object[] = [];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (value instanceof StoredView) views.push(value);
    else for (const [, child] of children(value)) visit(child, value);
  }
  for (let value = views.pop(); value !== undefined; value = views.pop()) {
    if (holding.has(value)) continue;
    holding.add(value);
    views.push(...parents.get(value)!);
  }
  return holding;
}

interface Collection {
  readonly views: NamedView[];
  readonly holding: ReadonlySet<object>;
  readonly file: string;
}

function collect(value: unknown, prefix: string, collection: Collection, above = new Set<object>()): void {
  const { views, holding, file } = collection;
  if (value instanceof StoredView) {
    views.push({ name: prefix, view: value });
    if (views.length > MAX_TENSORS) throw new ModelError('unsafe', `the file names more than ${MAX_TENSORS} tensors, which no model has`, { file });
    return;
  }
  if (typeof value !== 'object' || value === null || !holding.has(value) || above.has(value)) return;
  if (above.size > MAX_DEPTH) throw new ModelError('unsafe', `dictionaries nest deeper than ${MAX_DEPTH} levels`, { file });
  above.add(value);
  for (const [key, child] of children(value)) collect(child, prefix === '' ? key : key === '' ? prefix : `${prefix}.${key}`, collection, above);
  above.delete(value);
}

/** Names and values inside a container; a module's parameters, buffers and submodules stand for the module. */
function children(value: object): [string, unknown][] {
  if (value instanceof Map) return [...value].map(([key, child]) => [String(key), child]);
  if (Array.isArray(value)) return value.map((child, i) => [String(i), child]);
  if (!(value instanceof PickleObject)) return [];
  // PyTorch 0.1 kept a Parameter as an object around its tensor.
  if (value.type.name === 'Parameter' || value.type.name === 'Variable') {
    const inside = [...value.args, ...(Array.isArray(value.state) ? value.state : [])].find((item) => item instanceof StoredView);
    return inside ? [['', inside]] : [];
  }
  const state = value.state instanceof Map ? value.state : null;
  const isModule = state?.get('_modules') instanceof Map || state?.get('_parameters') instanceof Map;
  if (!state || !isModule) return [...value.items, ...(state ?? [])].map(([key, child]) => [String(key), child]);
  return ['_parameters', '_buffers', '_modules'].flatMap((part) => {
    const members = state.get(part);
    return members instanceof Map ? [...members].map(([key, child]): [string, unknown] => [String(key), child]) : [];
  });
}
