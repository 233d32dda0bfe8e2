/** Weights by name and without wiring, as PyTorch saves them, whichever container they came in. */
import type { Tensor } from './tensor.js';

export interface StateDict {
  /** In the file's order; names as the net itself has them, without what stood before all of them. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What every name in the file begins with ('module.', '_orig_mod.model.'); '' where there is no such thing. */
  readonly prefix: string;
}

/**
 * What training code puts around a net: wrappers of PyTorch (DataParallel, torch.compile, FSDP, weight averaging), of Lightning and of
 * DeepSpeed, and the attribute of a class of one's own that holds the net. Names such as `features` or `encoder` are the net's own.
 */
const WRAPPERS: ReadonlySet<string> = new Set(
  'module _orig_mod _forward_module _fsdp_wrapped_module _model model net network base_model wrapped_model student teacher ema ema_model generator netG netD'.split(
    ' ',
  ),
);

/** Wrappers around wrappers: more are no training code's, but a name made to be taken apart for ever. */
const MAX_WRAPPERS = 8;

/** Modules that PyTorch itself puts around others, wherever in a net: their names are in no net's code. */
const WITHIN = /\.(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)/g;

/** A tensor's name without the modules that PyTorch itself puts around others. */
export function plainName(name: string): string {
  return name.replaceAll(WITHIN, '');
}

/** What PyTorch and what runs it put before all names, of whatever net; other wrappers may be a class's own. */
export function withoutMachinery(prefix: string): string {
  return /^((module|_orig_mod|_forward_module|_fsdp_wrapped_module)\.)*/.exec(prefix)![0];
}

/** Takes off what wrappers put before all names, and between their parts. */
export function stateDict(tensors: readonly Tensor[]): StateDict {
  const plain = new Map(tensors.map((tensor) => [plainName(tensor.name), tensor]));
  let dict: StateDict = { tensors: plain.size === tensors.length ? plain : new Map(tensors.map((tensor) => [tensor.name, tensor])), prefix: '' };
  for (let inner = unwrap(dict); inner !== null && WRAPPERS.has(outermost(dict)!); inner = unwrap(dict)) dict = inner;
  return dict;
}

/** The same without the module that all tensors lie in; null where they lie in several, or one of them directly in it. */
function unwrap(dict: StateDict): StateDict | null {
  const module = outermost(dict);
  if (module === null || dict.prefix.split('.').length > MAX_WRAPPERS) return null;
  const tensors = new Map([...dict.tensors].map(([name, tensor]) => [name.slice(module.length + 1), tensor]));
  const isModule = [...tensors.keys()].every((name) => name.includes('.'));
  return isModule ? { tensors, prefix: `${dict.prefix}${module}.` } : null;
}

/** The first part of all names, where it is the same. */
function outermost({ tensors }: StateDict): string | null {
  const [first] = tensors.keys();
  const module = first?.slice(0, first.indexOf('.')) ?? '';
  return module !== '' && [...tensors.keys()].every((name) => name.startsWith(`${module}.`)) ? module : null;
}
