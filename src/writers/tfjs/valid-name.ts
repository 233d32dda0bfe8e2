/** Names that TensorFlow.js takes for layers, nodes and weights. */

/** `tensorNameRegex` of tfjs-layers is /^[A-Za-z0-9][-A-Za-z0-9._/]*$/; TensorFlow's own rule for nodes allows all of these too. */
export function validName(name: string): string {
  const safe = name.replaceAll(/[^-A-Za-z0-9._/]/g, '_');
  return /^[A-Za-z0-9]/.test(safe) ? safe : `n${safe}`;
}
