/** Pickles, one or a run of them: every class and function that they name. Nothing is called. */
import type { ByteSource } from '../bytes/byte-source.js';
import { isDangerous } from '../containers/pickle/danger.js';
import { PickleGlobal, PickleObject, unpickle } from '../containers/pickle/index.js';
import { isModelError } from '../errors.js';
import { tensorHooks } from '../readers/pytorch/rebuild.js';
import { listed } from '../words.js';
import type { Audit, Examiner } from './examiner.js';

const PROTO = 0x80;
const HIGHEST_PROTOCOL = 5;
/** First opcodes of protocols 0 and 1: marks, empty containers, names, texts and numbers. */
const EARLY_OPCODES = new Set(Array.from('(]}cilIKJMLVSUXN', (letter) => letter.charCodeAt(0)));
const EARLY_NAMES = /\.(pkl|pickle|p|pt|pth|pk|joblib|dat)$/i;
/** The container before 1.6 has five, and weights behind them; programs that hide theirs behind another use two or three. */
const MAX_PICKLES = 64;
/** What models are made of beside tensors. */
const HARMLESS =
  /^(torch\.((nn|optim|jit|fx|distributions)\.[\w.]+|\w*(Storage|Tensor|Size|device)|[a-z]+\d*|storage\.\w+|_utils\._rebuild_\w+|_tensor\.\w+|serialization\._get_layout|utils\.hooks\.\w+|cuda\.\w+(Storage|Tensor))|numpy\.(dtype|ndarray|(_?core\.)(multiarray|numeric)\.\w+|[a-z]+\d+)|collections\.\w+|__torch__\..*|_codecs\.encode|copyreg\._reconstructor|copy_reg\._reconstructor|(builtins|__builtin__)\.(set|frozenset|list|dict|tuple|object|int|float|complex|bytearray|bytes|str|slice|range|bool))$/;

/** What puts functions together from code that the pickle holds. Whoever trains saves such objects too, so that readers only leave them out. */
const HOLDS_CODE = /^(cloudpickle\.|dill\.|torch\.fx\.graph_module\.)/;

export const pickles: Examiner = {
  kind: 'pickle',
  match: ({ head, path }) => (head[0] === PROTO && head[1]! <= HIGHEST_PROTOCOL) || (EARLY_NAMES.test(path) && EARLY_OPCODES.has(head[0]!)),
  examine: ({ source, path }, audit) => examinePickles(source, 0, path, audit),
};

/** Arrays of Python objects, which NumPy pickles behind the header. */
export const objectArrays: Examiner = {
  kind: 'NumPy array of objects',
  match: ({ head }) => head[0] === 0x93 && new TextDecoder('latin1').decode(head.subarray(1, 6)) === 'NUMPY' && objectStart(head) !== null,
  examine: ({ source, path, head }, audit) => examinePickles(source, objectStart(head)!, path, audit),
};

function objectStart(head: Uint8Array): number | null {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const headerAt = head[6] === 1 ? 10 : 12;
  const end = headerAt + (head[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  return /'descr'\s*:\s*'?[^}]*O/.test(new TextDecoder('latin1').decode(head.subarray(headerAt, end))) ? end : null;
}

async function examinePickles(source: ByteSource, start: number, path: string, audit: Audit): Promise<void> {
  const names = new Set<string>();
  const dangerous = new Set<string>();
  const hooks = tensorHooks(undefined);
  const listening = {
    callables: {},
    inert: hooks.inert,
    persistentLoad: (id: unknown) => new PickleObject(STORAGE, [id]),
    onName(module: string, name: string) {
      const full = `${module}.${name}`;
      if (isDangerous(module, name) || HOLDS_CODE.test(full)) return void dangerous.add(full);
      const isKnown = Object.hasOwn(hooks.callables, full) || hooks.inert.has(full) || HARMLESS.test(full);
      if (!isKnown) names.add(full);
    },
  };
  let count = 0;
  let at = start;
  while (count < MAX_PICKLES && at < source.byteLength) {
    if (count > 0 && (await source.read(at, at + 1))[0] !== PROTO) break;
    try {
      at = (await unpickle(source, at, listening)).end;
      count++;
    } catch (error) {
      if (!isModelError(error)) throw error;
      // Behind the first there may be values, which are no pickle.
      if (count === 0 && error.kind === 'unsafe') audit.tell('unsafe', error.problem, path, error.place.offset);
      else if (count === 0 || dangerous.size > 0)
        audit.tell('pickle-damaged', `a pickle cannot be followed to its end: ${error.problem}`, path, error.place.offset);
      break;
    }
  }
  if (dangerous.size > 0) audit.tell('pickle-runs-code', `the pickle asks for ${listed(dangerous, 12)}`, path, start);
  if (names.size > 0) audit.tell('pickle-foreign-name', `the pickle names ${listed(names, 12)}`, path, start);
  else if (dangerous.size === 0 && count > 0)
    audit.tell('pickle', `${count === 1 ? 'a pickle names' : `${count} pickles name`} only what rebuilds tensors`, path, start);
}

const STORAGE = new PickleGlobal('torch', 'storage');
