/** TorchScript files around code that a test writes out. */
import { strToU8, zipSync } from 'fflate';
import { memoryFileSet } from '../src/bytes/file-set.js';
import { Call, Name, pickle, TensorKeeper, Tuple } from './pickles.js';

/** An instance of a class, by its dotted name, with its attributes. */
export function instance(path: string, attributes: Readonly<Record<string, unknown>>): Call {
  const at = path.lastIndexOf('.');
  return new Call(new Name(path.slice(0, at), path.slice(at + 1)), [], { via: '\x81', state: new Map(Object.entries(attributes)) });
}

/**
 * @param code by module: '__torch__.nets'
 * @param version of the operators' meanings
 */
export function scriptFile(code: Readonly<Record<string, string>>, root: Call, keeper = new TensorKeeper(), version = 10) {
  return memoryFileSet({ 'net.pt': scriptArchive(code, root, keeper, version) }, 'net.pt');
}

/** Its bytes. */
export function scriptArchive(code: Readonly<Record<string, string>>, root: Call, keeper = new TensorKeeper(), version = 10, level: 0 | 9 = 0): Uint8Array {
  const members = Object.entries(code).map(([module, text]) => [`archive/code/${module.replaceAll('.', '/')}.py`, strToU8(text)] as const);
  const constants = { 'archive/constants.pkl': pickle(new Tuple()), 'archive/version': strToU8(`${version}\n`) };
  return zipSync({ ...keeper.members(root), ...constants, ...Object.fromEntries(members) }, { level });
}

/** A net of one class with a forward of one tensor, whose body is given; its lines are indented here. */
export function netOf(body: readonly string[], attributes: Readonly<Record<string, unknown>> = {}, more = '', keeper = new TensorKeeper(), version = 10) {
  const lines = body.map((line) => `    ${line}`).join('\n');
  const code = `class Net(Module):\n  training : bool\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n${lines}\n${more}`;
  return scriptFile({ __torch__: code }, instance('__torch__.Net', { training: false, ...attributes }), keeper, version);
}
