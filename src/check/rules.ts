/** The rules that a policy may name. */
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, dtypeNamed } from '../model/dtype.js';
import { namedReader } from '../readers/open.js';
import { formatBytes, formatCount, formatLimit, formatNumber } from '../report/numbers.js';
import { isGood, onWhoseWord, verdictSentence, verdictWord } from '../report/verdict.js';
import { worstAgreement } from '../verify/savings.js';
import { clipped, listed } from '../words.js';
import { operatorNames } from './operators.js';
import { bytes, count, type Found, flag, folderPath, found, number, type Rule, rule, settings, text, texts, whole } from './rule.js';

const SHA256 = /^[0-9a-f]{64}$/i;

export const rules: readonly Rule[] = [
  rule('format', formats, async (artifact, wanted) => {
    const { format } = await artifact.model();
    return found(wanted.includes(format), `the format is ${format}${wanted.includes(format) ? '' : `, not ${wanted.join(' or ')}`}`);
  }),
  rule('max-size', bytes, async (artifact, wanted) => {
    const total = [...(await artifact.sizes()).values()].reduce((sum, size) => sum + size, 0);
    return found(total <= wanted, `${formatBytes(total)}${total <= wanted ? '' : `, more than ${formatLimit(wanted)}`}`);
  }),
  rule('max-parameters', number, async (artifact, wanted) => {
    const { parameterCount } = await artifact.document();
    return found(parameterCount <= wanted, `${formatCount(parameterCount)} parameters${parameterCount <= wanted ? '' : `, more than ${formatCount(wanted)}`}`);
  }),
  rule('dtypes', dtypes, async (artifact, wanted) => {
    const own = (await artifact.model()).tensors.filter(({ beside }) => !beside);
    const strange = own.filter(({ tensor }) => !wanted.includes(tensor.dtype)).map(({ tensor }) => `${tensor.name} (${tensor.dtype})`);
    return strange.length === 0
      ? found(true, `weights are ${[...new Set(own.map(({ tensor }) => tensor.dtype))].join(', ')}`)
      : found(false, `${strange.length} of ${own.length} weights are of another dtype than ${wanted.join(', ')}: ${listed(strange)}`);
  }),
  rule('opset', opsets, async (artifact, { min = 0, max = Number.POSITIVE_INFINITY }) => {
    const { opset } = (await artifact.model()).details;
    const version = Number(/(?:^|, )ai\.onnx (\d+)/.exec(opset ?? '')?.[1]);
    if (Number.isNaN(version)) return found(false, 'the file has no ONNX operator set');
    const good = version >= min && version <= max;
    return found(good, `operator set ${version}${good ? '' : `, not from ${min} to ${max === Number.POSITIVE_INFINITY ? 'the newest' : max}`}`);
  }),
  rule(
    'operators',
    (value) => settings(value, { allow: operatorNames, deny: operatorNames }),
    async (artifact, { allow, deny = [] }) => {
      const operators = await artifact.operators();
      if (!operators) return found(false, 'the wiring is not in the file or not understood, so its operators are not known');
      const strange = [...operators].filter((op) => deny.includes(op) || (allow && !allow.includes(op)));
      return found(strange.length === 0, strange.length === 0 ? `${operators.size} operators, all allowed` : `not allowed: ${listed(strange)}`);
    },
  ),
  rule('inputs', portsWanted, async (artifact, wanted) => portsFound((await artifact.document()).inputs, wanted, 'input')),
  rule('outputs', portsWanted, async (artifact, wanted) => portsFound((await artifact.document()).outputs, wanted, 'output')),
  rule('finite', flag, async (artifact, wanted) => {
    if (!wanted) return [];
    const odd = (await artifact.weights()).tensors.filter(({ nonFinite = 0 }) => nonFinite > 0).map(({ name, nonFinite }) => `${name} (${nonFinite})`);
    return found(odd.length === 0, odd.length === 0 ? 'every weight is finite' : `weights with values that are NaN or infinite: ${listed(odd)}`);
  }),
  rule('pickles', forbidden, async (artifact) => {
    const inside = (await artifact.audit()).files.filter(({ kinds }) => kinds.includes('pickle') || kinds.includes('NumPy array of objects'));
    return found(inside.length === 0, inside.length === 0 ? 'no pickles' : `found: ${listed(inside.map(({ name }) => name))}`);
  }),
  rule('code', forbidden, async (artifact) => {
    const code = (await artifact.audit()).findings.filter(({ rule: name }) => CODE.has(name));
    return found(code.length === 0, code.length === 0 ? 'no code' : listed(code.map(({ message }) => message)));
  }),
  rule('audit', oneOf('clean', 'no-danger'), async (artifact, wanted) => {
    const { verdict, findings } = await artifact.audit();
    const bad = findings.filter(({ severity }) => severity === 'danger' || (severity === 'suspect' && wanted === 'clean'));
    return found(bad.length === 0, bad.length === 0 ? `the audit says ${verdict}` : listed(bad.map(({ file, message }) => `${file}: ${message}`)));
  }),
  rule('sha256', hashesWanted, async (artifact, wanted) => {
    const names = wanted instanceof Map ? [...wanted.keys()] : [artifact.files.main ?? ''];
    const outcomes: Found[] = [];
    for (const name of names) {
      const hash = await artifact.sha256(name);
      const good = hash === (wanted instanceof Map ? wanted.get(name) : wanted);
      outcomes.push(found(good, `SHA-256 of ${name} is ${hash}${good ? '' : ', which is not the one wanted'}`));
    }
    return outcomes;
  }),
  rule(
    'provenance',
    (value) => settings(value, { source: folderPath, tool: flag, metadata: texts }),
    async (artifact, { source, tool = false, metadata: keys = [] }) => {
      const { metadata = {} } = await artifact.model();
      const outcomes = keys.map((key) =>
        found(Object.hasOwn(metadata, key), Object.hasOwn(metadata, key) ? `metadata says ${key}: ${clipped(metadata[key]!)}` : `metadata does not say ${key}`),
      );
      if (tool)
        outcomes.push(
          found(
            'weighbridge.version' in metadata,
            'weighbridge.version' in metadata ? `written by Weighbridge ${metadata['weighbridge.version']}` : 'it does not say that Weighbridge wrote it',
          ),
        );
      if (source !== undefined) {
        const hash = await artifact.host.sha256(source, '');
        const stated = Object.entries(metadata).filter(([key]) => key.startsWith('weighbridge.source.sha256.'));
        const good = stated.some(([, value]) => value === hash);
        outcomes.push(
          found(
            good,
            good
              ? `made of ${source}`
              : `it does not say that it was made of ${source} (SHA-256 ${hash})${stated.length === 0 ? ', nor of anything (a conversion with --no-verify does not say it)' : ''}`,
          ),
        );
      }
      return outcomes;
    },
  ),
  rule(
    'verify',
    (value) => {
      const how = settings(value, {
        against: folderPath,
        golden: folderPath,
        inputs: folderPath,
        samples: count,
        seed: whole,
        engine: text,
        atol: number,
        rtol: number,
        'require-witness': flag,
        'min-agreement': number,
      });
      if (how.against === undefined && how.golden === undefined)
        throw new ModelError('usage', 'a file to verify against (against) or recorded outputs (golden) are expected');
      return how;
    },
    async (artifact, { 'require-witness': witness = false, 'min-agreement': share, ...how }) => {
      const report = await artifact.verify(how);
      const why = isGood(report) ? '' : `: ${report.cause?.message ?? verdictSentence(report)}`;
      const outcomes = [found(isGood(report), `${verdictWord(report)} (${onWhoseWord(report)})${why}`)];
      if (witness)
        outcomes.push(found(report.witness.independent, `the witness is ${report.witness.independent ? '' : 'not '}independent: ${report.witness.detail}`));
      if (share !== undefined) {
        const agreement = worstAgreement(report);
        const good = agreement !== null && agreement.share >= share;
        outcomes.push(
          found(
            good,
            agreement
              ? `the top class is the same for ${agreement.same} of ${agreement.of} inputs${good ? '' : `, less than ${formatNumber(share)}`}`
              : 'no output is a list of classes',
          ),
        );
      }
      return outcomes;
    },
  ),
];

const CODE = new Set([
  'pickle-runs-code',
  'pickle-foreign-name',
  'program-inside',
  'keras-code',
  'keras-import',
  'keras-foreign-class',
  'tensorflow-code',
  'torchscript',
  'torchscript-file',
]);

function formats(value: unknown): readonly string[] {
  const names = texts(value);
  for (const name of names) namedReader(name);
  return names;
}

function opsets(value: unknown): { readonly min?: number; readonly max?: number } {
  if (typeof value === 'number') return { min: value, max: value };
  const range = settings(value, { min: number, max: number });
  if ((range.min ?? 0) <= (range.max ?? Number.POSITIVE_INFINITY)) return range;
  throw new ModelError('usage', `no operator set is at least ${range.min} and at most ${range.max}`);
}

function dtypes(value: unknown): readonly string[] {
  return texts(value).map((name) => {
    const dtype = dtypeNamed(name);
    if (!dtype || !(dtype in DTYPE_BYTES)) throw new ModelError('usage', `there is no dtype "${name}"`);
    return dtype;
  });
}

function oneOf<T extends string>(...words: readonly T[]): (value: unknown) => T {
  return (value) => {
    const word = words.find((each) => each === value);
    if (word === undefined) throw new ModelError('usage', `${words.join(' or ')} is expected, not ${JSON.stringify(value)}`);
    return word;
  };
}

function forbidden(value: unknown): 'forbidden' {
  return oneOf('forbidden')(value);
}

function hashesWanted(value: unknown): string | Map<string, string> {
  const hash = (given: unknown) => {
    if (typeof given === 'string' && SHA256.test(given)) return given.toLowerCase();
    throw new ModelError('usage', 'a SHA-256 of 64 hexadecimal digits, in quotes, is expected');
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return hash(value);
  return new Map(Object.entries(value).map(([name, given]) => [folderPath(name), hash(given)]));
}

interface PortWanted {
  readonly shape?: readonly (number | string)[];
  readonly dtype?: string;
}

function portsWanted(value: unknown): ReadonlyMap<string, PortWanted> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ModelError('usage', 'ports by name are expected, such as { input: { shape: [N, 3, 224, 224] } }');
  const shape = (given: unknown) => {
    if (Array.isArray(given) && given.every((size) => typeof size === 'string' || typeof size === 'number')) return given as (number | string)[];
    throw new ModelError('usage', 'a list of sizes is expected; a name stands for a size that is free');
  };
  return new Map(Object.entries(value).map(([name, wanted]) => [name, settings(wanted ?? {}, { shape, dtype: text })]));
}

interface PortFound {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
}

function portsFound(ports: readonly PortFound[], wanted: ReadonlyMap<string, PortWanted>, kind: string): Found[] {
  const outcomes: Found[] = [];
  for (const [name, { shape, dtype }] of wanted) {
    const port = ports.find((each) => each.name === name);
    const fits =
      port !== undefined &&
      (dtype === undefined || port.dtype === dtype) &&
      (shape === undefined ||
        (shape.length === port.shape.length &&
          shape.every((size, axis) => (typeof size === 'string' ? typeof port.shape[axis] === 'string' : size === port.shape[axis]))));
    const is = port ? `${port.dtype} [${port.shape.join(', ')}]` : 'not there';
    outcomes.push(
      found(fits, `${kind} ${name} is ${is}${fits ? '' : `, not ${dtype ?? ''}${shape ? ` [${shape.join(', ')}]` : ''}`.replace(/not +/, 'not ')}`),
    );
  }
  const others = ports.filter(({ name }) => !wanted.has(name)).map(({ name }) => name);
  if (others.length > 0) outcomes.push(found(false, `${kind}s that the policy does not name: ${listed(others)}`));
  return outcomes;
}
