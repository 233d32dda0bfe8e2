/** Programs of TorchScript and torch.export that are small as files, and long, deep or many-fold as what they do. */
import { exportedArchive, exportedDocument, ints, tensor } from '../exported-files.js';
import { TensorKeeper } from '../pickles.js';
import { instance, scriptArchive } from '../torchscript-files.js';
import type { CostlyFile } from './cost-hdf5.js';

/** A net whose forward has such lines; `more` stands beside its class or in it. */
function net(lines: readonly string[], { attributes = {}, beside = '' }: { attributes?: Readonly<Record<string, unknown>>; beside?: string } = {}): Uint8Array {
  const body = lines.map((line) => `    ${line}`).join('\n');
  const code = `class Net(Module):\n  training : bool\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n${body}\n${beside}`;
  return scriptArchive({ __torch__: code }, instance('__torch__.Net', { training: false, ...attributes }), new TensorKeeper(), 10, 9);
}
const flags = ['--input-shape', '1,4'];
const script = (says: RegExp | undefined, ...given: Parameters<typeof net>): CostlyFile => ({
  name: 'net.pt',
  bytes: () => net(...given),
  flags,
  ...(says ? { says } : {}),
});
const times = (count: number, line: (i: number) => string): string[] => Array.from({ length: count }, (_, i) => line(i));

export const TORCHSCRIPT_FILES: Readonly<Record<string, CostlyFile>> = {
  'brackets 100,000 deep': script(/nested deeper/, [`a = ${'('.repeat(100_000)}x${')'.repeat(100_000)}`, 'return x']),
  'lists 100,000 deep': script(/nested deeper/, [`a = ${'['.repeat(100_000)}1${']'.repeat(100_000)}`, 'return x']),
  'a number with a million signs': script(/nested deeper|parts/, [`a = ${'-'.repeat(1_000_000)}1`, 'return x']),
  'a chain of a million attributes': script(/nested deeper|parts|steps/, [`a = x${'.a'.repeat(1_000_000)}`, 'return x']),
  'a chain of a million calls': script(/nested deeper|parts|steps/, [`a = x${'()'.repeat(1_000_000)}`, 'return x']),
  'a chain of 500,000 elements': script(/nested deeper|parts|steps/, [`a = x${'[0]'.repeat(500_000)}`, 'return x']),
  'a list of five million numbers': script(/parts/, [`a = [${'1, '.repeat(5_000_000)}1]`, 'return x']),
  'a list of 500,000 numbers': script(undefined, [`a = [${'1, '.repeat(500_000)}1]`, 'return torch.relu(x)']),
  'a name of eight million letters': script(undefined, [`${'a'.repeat(8_000_000)} = x`, 'return torch.relu(x)']),
  'a text of eight million letters': script(/a text of more than/, [`a = "${'b'.repeat(8_000_000)}"`, 'return torch.relu(x)']),
  'a text that is not closed': script(/./, [`a = "${'\\"'.repeat(4_000_000)}`, 'return x']),
  'eight million spaces before a line': script(/./, [`${' '.repeat(8_000_000)}a = 1`, 'return x']),
  'a million empty lines': script(undefined, [...times(1_000_000, () => ''), 'return torch.relu(x)']),
  'blocks 300 deep': script(
    /deeper/,
    times(300, (i) => `${' '.repeat(i)}if True:`),
  ),
  'a number of a million digits': script(/64 bits/, [`a = torch.add(x, ${'9'.repeat(1_000_000)})`, 'return a']),
  'a loop of 10^12 rounds': script(undefined, ['for i in range(1000000000000):', '  pass', 'return x']),
  'a loop without an end': script(undefined, ['while True:', '  a = 1', 'return x']),
  'loops within loops': script(undefined, ['for i in range(100000):', '  for j in range(100000):', '    y = torch.add(i, j)', 'return x']),
  'a chain of 60,000 operators': script(undefined, ['y = x', ...times(60_000, () => 'y = torch.relu(y)'), 'return y']),
  'a chain of 20,000 operators': script(undefined, ['y = x', ...times(20_000, () => 'y = torch.relu(y)'), 'return y']),
  'functions that call each other twice': script(undefined, ['return __torch__.f0(x)'], {
    beside: times(60, (i) => `def f${i}(x: Tensor) -> Tensor:\n  y = __torch__.f${i + 1}(x)\n  return __torch__.f${i + 1}(y)\n`).join(''),
  }),
  'a function that calls itself': script(undefined, ['return __torch__.f(x)'], { beside: 'def f(x: Tensor) -> Tensor:\n  return __torch__.f(x)\n' }),
  'a module that calls itself': script(undefined, ['return (self).forward(x)']),
  'tuples that double': script(undefined, ['a0 = (x, x)', ...times(60, (i) => `a${i + 1} = (a${i}, a${i})`), 'return a60']),
  'lists that double': script(undefined, ['a0 = [1, 2]', ...times(60, (i) => `a${i + 1} = torch.add(a${i}, a${i})`), 'return x']),
  'a list many times': script(undefined, ['a = torch.mul([1, 2, 3], 1000000000)', 'return torch.view(x, a)']),
  'texts that double': script(undefined, ['a0 = "abcdefgh"', ...times(60, (i) => `a${i + 1} = torch.add(a${i}, a${i})`), 'return torch.relu(x)']),
  'a power of powers': script(undefined, ['a0 = 3', ...times(40, (i) => `a${i + 1} = torch.mul(a${i}, a${i})`), 'return torch.relu(x)']),
  'tensors that double': script(undefined, ['y0 = x', ...times(60, (i) => `y${i + 1} = torch.cat([y${i}, y${i}], 1)`), 'return y60']),
  'a tensor of 10^15 zeros': script(undefined, ['y = torch.zeros([1000000, 1000000, 1000])', 'return torch.add(x, torch.sum(y))']),
  'a range of 10^12 numbers': script(undefined, ['y = torch.arange(1000000000000)', 'return torch.add(x, torch.sum(y))']),
  'a tensor repeated 10^12 times': script(undefined, ['return torch.repeat(x, [1000000, 1000000])']),
  'a split into 10^9 parts': script(undefined, ['y = torch.expand(x, [1000000000, 4])', 'a = torch.split(y, 1)', 'return a[0]']),
  'a chunk of 10^9 parts': script(undefined, ['a, b, = torch.chunk(torch.repeat(x, [100000000, 1]), 1000000000)', 'return a']),
  '50,000 functions': script(undefined, ['return torch.relu(x)'], { beside: times(50_000, (i) => `def f${i}(x: Tensor) -> Tensor:\n  return x\n`).join('') }),
  '100,000 classes': script(undefined, ['return torch.relu(x)'], { beside: times(100_000, (i) => `class C${i}(Module):\n  a : int\n`).join('') }),
  'a forward of 100,000 parameters': {
    name: 'net.pt',
    flags,
    bytes: () => {
      const parameters = times(100_000, (i) => `x${i}: Tensor`).join(', ');
      const code = `class Net(Module):\n  training : bool\n  def forward(self: __torch__.Net, ${parameters}) -> Tensor:\n    return torch.relu(x0)\n`;
      return scriptArchive({ __torch__: code }, instance('__torch__.Net', { training: false }), new TensorKeeper(), 10, 9);
    },
  },
  'one weight read 60,000 times': {
    name: 'net.pt',
    flags,
    bytes: () => {
      const keeper = new TensorKeeper();
      const weight = keeper.filled([4], 1);
      const lines = ['y = x', ...times(60_000, () => 'y = torch.add(y, (self).w)'), 'return y'].map((line) => `    ${line}`).join('\n');
      const code = `class Net(Module):\n  training : bool\n  w : Tensor\n  def forward(self: __torch__.Net, x: Tensor) -> Tensor:\n${lines}\n`;
      return scriptArchive({ __torch__: code }, instance('__torch__.Net', { training: false, w: weight }), keeper, 10, 9);
    },
  },
};

type Node = Parameters<typeof exportedDocument>[0]['nodes'][number];
const NOTHING = { parameters: {}, sizes: [1, 4], output: tensor('y') };
const relu = (from: string, to: string): Node => ({ target: 'torch.ops.aten.relu.default', inputs: [['self', tensor(from)]], outputs: [tensor(to)] });
const exported = (nodes: readonly Node[], more: Partial<typeof NOTHING> = {}): Uint8Array => {
  const program = { ...NOTHING, ...more, nodes };
  return exportedArchive(program, '2.9', exportedDocument(program), 9);
};
/** The document with something of its own in it, as text. */
const withText = (find: string, put: string): Uint8Array => {
  const program = { ...NOTHING, nodes: [relu('x', 'y')] };
  const document = JSON.stringify(exportedDocument(program));
  if (!document.includes(find)) throw new Error(`no ${find}`);
  return exportedArchive(
    program,
    '2.9',
    document.replace(find, () => put),
    9,
  );
};
const OPSET = '"opset_version":{"aten":10}';

export const EXPORTED_FILES: Readonly<Record<string, CostlyFile>> = {
  'a document a million deep': { name: 'net.pt2', bytes: () => withText(OPSET, `"opset_version":${'['.repeat(1e6)}${']'.repeat(1e6)}`), says: /deep/ },
  'a document of three million lists': { name: 'net.pt2', bytes: () => withText(OPSET, `"opset_version":[${'[],'.repeat(3e6)}[]]`), says: /values/ },
  'a number of a million digits': { name: 'net.pt2', bytes: () => withText('{"as_int":4}', `{"as_int":${'9'.repeat(1e6)}}`), says: /./ },
  'a size of 10^300': { name: 'net.pt2', bytes: () => withText('{"as_int":4}', '{"as_int":1e300}'), says: /./ },
  'a size below zero': { name: 'net.pt2', bytes: () => withText('{"as_int":4}', '{"as_int":-4}'), says: /./ },
  'a symbol in brackets 100,000 deep': {
    name: 'net.pt2',
    bytes: () => withText('{"as_int":4}', `{"as_expr":{"expr_str":"${'('.repeat(100_000)}s0${')'.repeat(100_000)}","hint":{"as_int":4}}}`),
  },
  'a chain of 60,000 nodes': {
    name: 'net.pt2',
    bytes: () => exported([relu('x', 'v0'), ...times(60_000, () => '').map((_, i) => relu(`v${i}`, `v${i + 1}`)), relu('v60000', 'y')]),
    says: /operators|values|more than/,
  },
  'a chain of 10,000 nodes': {
    name: 'net.pt2',
    bytes: () => exported([relu('x', 'v0'), ...times(10_000, () => '').map((_, i) => relu(`v${i}`, `v${i + 1}`)), relu('v10000', 'y')]),
  },
  '60,000 nodes of one name': { name: 'net.pt2', bytes: () => exported(times(60_000, () => '').map(() => relu('x', 'y'))), says: /./ },
  'a node of 300,000 inputs': {
    name: 'net.pt2',
    bytes: () =>
      exported([
        {
          target: 'torch.ops.aten.cat.default',
          inputs: [['tensors', { as_tensors: new Array(300_000).fill({ name: 'x' }) }]],
          outputs: [tensor('y')],
        },
      ]),
    says: /./,
  },
  'a concatenation that doubles 60 times': {
    name: 'net.pt2',
    bytes: () =>
      exported(
        times(60, () => '').map((_, i) => ({
          target: 'torch.ops.aten.cat.default',
          inputs: [
            ['tensors', { as_tensors: [{ name: i === 0 ? 'x' : `y${i}` }, { name: i === 0 ? 'x' : `y${i}` }] }],
            ['dim', { as_int: 1 }],
          ],
          outputs: [tensor(i === 59 ? 'y' : `y${i + 1}`)],
        })),
      ),
    says: /./,
  },
  'an expansion to 10^18 places': {
    name: 'net.pt2',
    bytes: () =>
      exported([
        {
          target: 'torch.ops.aten.expand.default',
          inputs: [
            ['self', tensor('x')],
            ['size', ints(1_000_000_000, 1_000_000_000, 1, 4)],
          ],
          outputs: [tensor('y')],
        },
      ]),
  },
  'zeros of 10^18 places': {
    name: 'net.pt2',
    bytes: () =>
      exported([
        {
          target: 'torch.ops.aten.full.default',
          inputs: [
            ['size', ints(1_000_000_000, 1_000_000_000)],
            ['fill_value', { as_float: 0 }],
          ],
          outputs: [tensor('z')],
        },
        { target: 'torch.ops.aten.sum.default', inputs: [['self', tensor('z')]], outputs: [tensor('s')] },
        {
          target: 'torch.ops.aten.add.Tensor',
          inputs: [
            ['self', tensor('x')],
            ['other', tensor('s')],
          ],
          outputs: [tensor('y')],
        },
      ]),
  },
  'a weight of five thousand axes': {
    name: 'net.pt2',
    bytes: () => {
      const program = { ...NOTHING, nodes: [relu('x', 'y')], parameters: { w: { shape: [1], values: [1] } } };
      return exportedArchive({ ...program, parameters: { w: { shape: new Array(5_000).fill(1), values: [1] } } }, '2.9', exportedDocument(program), 9);
    },
    says: /./,
  },
  '40,000 weights of nothing': {
    name: 'net.pt2',
    bytes: () =>
      exported([relu('x', 'y')], { parameters: Object.fromEntries(times(40_000, (i) => `w${i}`).map((name) => [name, { shape: [0], values: [] }])) }),
  },
  'a name of eight million letters': { name: 'net.pt2', bytes: () => exported([relu('x', 'a'.repeat(8e6)), relu('a'.repeat(8e6), 'y')]) },
};
