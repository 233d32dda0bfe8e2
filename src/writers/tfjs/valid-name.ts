/** Names that TensorFlow.js takes for layers, nodes and weights. */
import type { Names } from '../../model/names.js';
import type { FileNode, FileValue } from './target.js';

/** `tensorNameRegex` of tfjs-layers is /^[A-Za-z0-9][-A-Za-z0-9._/]*$/; TensorFlow's own rule for nodes allows all of these too. */
export function validName(name: string): string {
  const safe = name.replaceAll(/[^-A-Za-z0-9._/]/g, '_');
  return /^[A-Za-z0-9]/.test(safe) ? safe : `n${safe}`;
}

/**
 * Names nodes after the layer or port `name`; the one that made `result`, if among them, gets the name itself and chooses first.
 *
 * @param separator what stands for the slashes of names, where a format has none
 */
export function nameNodes(nodes: readonly FileNode[], name: string, result: FileValue, names: Names, separator = '/'): void {
  const valid = validName(name).replaceAll('/', separator);
  for (const node of nodes) if (node === result.node) node.name = names.take(valid);
  for (const node of nodes) if (node !== result.node) node.name = names.take(`${valid}${separator}${node.suffix}`);
}
