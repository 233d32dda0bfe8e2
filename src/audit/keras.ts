/**
 * Keras configurations, in archives, in HDF5 attributes and as JSON: layers that hold code, and names that Keras would import.
 *
 * @see https://nvd.nist.gov/vuln/detail/CVE-2024-3660 (bytecode of Lambda layers), CVE-2025-1550 (modules that a configuration names),
 *   CVE-2025-12058 (vocabularies that are paths)
 */
import type { ByteSource } from '../bytes/byte-source.js';
import { isObject } from '../containers/json.js';
import { isDangerous } from '../containers/pickle/danger.js';
import { parseJson } from '../readers/keras/json.js';
import type { Audit, Examiner } from './examiner.js';

/** Configurations of the largest nets have some megabytes. */
const MAX_JSON_BYTES = 2 ** 26;
/** Where Keras and TensorFlow keep what models are made of. */
const KERAS = /^(keras|tf_keras|tensorflow\.keras|tensorflow\.python\.keras)(\.|$)/;
/** Of Keras itself, but no part of a model: what loads, downloads, or switches safe mode off. */
const NO_PART = /^(keras|tf_keras)(\.src)?\.(utils|config|saving|callbacks|datasets|backend|ops\.io|legacy\.saving)(\.|$)/;

export const kerasConfig: Examiner = {
  kind: 'JSON',
  match: ({ head }) => /^\s*[[{]/.test(new TextDecoder().decode(head.subarray(0, 64)).replace(/^\uFEFF/, '')),
  async examine({ source, path }, audit) {
    const text = await readText(source);
    if (text?.includes('"class_name"')) examineConfig(text, path, audit);
  },
};

async function readText(source: ByteSource): Promise<string | null> {
  return source.byteLength > MAX_JSON_BYTES ? null : new TextDecoder().decode(await source.read(0, source.byteLength));
}

/** Told once for each kind of finding and name. */
export function examineConfig(text: string, path: string, audit: Audit): void {
  const told = new Set<string>();
  const tell: Audit['tell'] = (rule, message) => {
    if (!told.has(message)) audit.tell(rule, message, path);
    told.add(message);
  };
  const queue: unknown[] = [parseJson(text, 'the configuration', path)];
  for (let value = queue.pop(); value !== undefined; value = queue.pop()) {
    if (Array.isArray(value)) for (const item of value) if (typeof item === 'object' && item !== null) queue.push(item);
    if (!isObject(value)) continue;
    if (typeof value.class_name === 'string') examineObject(value.class_name, value, tell);
    for (const item of Object.values(value)) if (typeof item === 'object' && item !== null) queue.push(item);
  }
}

function examineObject(name: string, { module, config, registered_name: registered }: Readonly<Record<string, unknown>>, tell: Audit['tell']): void {
  const settings = isObject(config) ? config : {};
  const what = typeof settings.name === 'string' ? `the layer ${JSON.stringify(settings.name.slice(0, 100))}` : `a ${JSON.stringify(name.slice(0, 100))}`;
  if (name === '__lambda__' || (name === 'Lambda' && typeof settings.function !== 'string')) tell('keras-code', `${what} holds Python bytecode`, '');
  else if (name === 'Lambda')
    tell('keras-foreign-class', `${what} calls ${JSON.stringify(String(settings.function).slice(0, 200))}, a function of another program`, '');
  if (typeof settings.vocabulary === 'string') tell('keras-file', `${what} has its vocabulary in ${JSON.stringify(settings.vocabulary.slice(0, 300))}`, '');
  if (typeof module !== 'string' || module === '') {
    if (typeof registered === 'string' && registered.includes('>'))
      tell('keras-foreign-class', `${what} is of the class ${JSON.stringify(registered.slice(0, 200))}`, '');
    return;
  }
  const full = `${module}.${name === 'function' && typeof config === 'string' ? config : name}`.slice(0, 300);
  if (NO_PART.test(module) || isDangerous(module, name) || (typeof config === 'string' && isDangerous(module, config)))
    tell('keras-import', `${what} stands for ${full}, which is no part of a model`, '');
  else if (!KERAS.test(module)) tell('keras-foreign-class', `${what} is ${full}, of another program`, '');
}
