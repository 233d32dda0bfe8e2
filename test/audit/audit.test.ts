// @module-tag slow
/** What a stranger's file may contain beside weights, each in a file made here; and nothing is found in files that are as they should be. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { auditFiles } from '../../src/audit/audit.js';
import { RULES, type RuleName } from '../../src/audit/document.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { encodeNpyHeader } from '../../src/containers/npy.js';
import { nodeFileSet } from '../../src/node/index.js';
import { filesOf, samples } from '../contracts/samples.js';
import { ascii, contiguous, dataset, FLOAT32, Hdf5Image, hardLink, joined, textAttribute, u8, u16, u64 } from '../hdf5-image.js';
import { legacyH5, sequential } from '../keras-files.js';
import { Call, Name, numpyArray, pickle, TensorKeeper } from '../pickles.js';
import { graphDef, placeholder } from '../tf-graphs.js';
import { zipImage } from '../zip-image.js';

const audit = (bytes: Uint8Array, name = 'model.bin') => auditFiles(memoryFileSet({ [name]: bytes }, name));
const rulesOf = async (bytes: Uint8Array, name?: string): Promise<RuleName[]> => [...new Set((await audit(bytes, name)).findings.map(({ rule }) => rule))];
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const SYSTEM = new Call(new Name('posix', 'system'), ['id']);

/** A tar header, with its checksum. */
function tarMember(name: string, type: string, target = '', content: Uint8Array = new Uint8Array(0)): Uint8Array {
  const header = new Uint8Array(512);
  const put = (at: number, text: string) => header.set(ascii(text), at);
  put(0, name);
  put(124, content.byteLength.toString(8).padStart(11, '0'));
  put(156, type);
  put(157, target);
  put(148, '        ');
  const sum = header.reduce((a, b) => a + b, 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  const padded = new Uint8Array(Math.ceil(content.byteLength / 512) * 512);
  padded.set(content);
  return joined(header, padded);
}

it('two files with the same in them are both named', async () => {
  const evil = pickle(SYSTEM, 2);
  const files = memoryFileSet({ 'a.pkl': evil, 'b.pkl': evil, 'c.zip': zipSync({ 'd.pkl': evil, 'e.pkl': evil }) }, null);
  const { findings } = await auditFiles(files);
  expect(findings.filter(({ rule }) => rule === 'pickle-runs-code').map(({ file }) => file)).toEqual(['a.pkl', 'b.pkl', 'c.zip/d.pkl', 'c.zip/e.pkl']);
});

it('a configuration that is no JSON is a finding, and one with infinities is looked through', async () => {
  const broken = await audit(ascii('{"class_name": "Sequential", "config": "a\tb"}'), 'model.json');
  expect(broken.findings.map(({ message }) => message).join()).toContain('no valid JSON');
  const endless = ascii('{"class_name": "Lambda", "config": {"name": "l", "least": -Infinity, "function": {"class_name": "__lambda__"}}}');
  expect(await rulesOf(endless, 'model.json')).toContain('keras-code');
});

describe('tar archives', () => {
  const ok = tarMember('m/readme', '0', '', ascii('x'));

  it.each<[what: string, member: Uint8Array, rule: RuleName, says: string]>([
    ['a symbolic link', tarMember('a', '2', '/etc/passwd'), 'archive-link', 'a symbolic link to "/etc/passwd"'],
    ['a hard link', tarMember('a', '1', '../../x'), 'archive-link', 'a hard link to "../../x"'],
    ['a device', tarMember('a', '3'), 'archive-link', 'a device'],
    ['a long name of GNU', tarMember('././@LongLink', 'L', '', ascii('../../.ssh/keys\0')), 'archive-path', '../../.ssh/keys'],
    ['a long name of POSIX', tarMember('x', 'x', '', ascii('21 path=../../evil.sh\n')), 'archive-path', '../../evil.sh'],
  ])('name %s', async (_, member, rule, says) => {
    const { findings } = await audit(joined(ok, member, new Uint8Array(1024)), 'm.tar');
    expect(findings.find((finding) => finding.rule === rule)!.message).toContain(says);
  });

  it('are looked into where they are packed by gzip, and a file that inflates without end is not', async () => {
    const packed = gzipSync(joined(ok, tarMember('a', '2', '/etc/passwd'), tarMember('w.pkl', '0', '', pickle(SYSTEM, 2)), new Uint8Array(1024)));
    expect(await rulesOf(packed, 'm.tar.gz')).toEqual(expect.arrayContaining(['archive-link', 'pickle-runs-code']));
    const { findings } = await audit(gzipSync(new Uint8Array(2 ** 26)), 'bomb.gz');
    expect(findings.map(({ message }) => message).join()).toContain('inflates to more than 32 MiB');
  });
});

describe('pickles', () => {
  it.each([2, 3, 4] as const)('names what runs code, in protocol %i', async (protocol) => {
    const { findings, verdict } = await audit(pickle(SYSTEM, protocol), 'weights.pkl');
    expect(verdict).toBe('dangerous');
    expect(findings.find(({ rule }) => rule === 'pickle-runs-code')!.message).toContain('posix.system');
  });

  it('names it in protocol 0, which is text', async () => {
    expect(await rulesOf(ascii("cposix\nsystem\n(S'id'\ntR."), 'weights.pkl')).toContain('pickle-runs-code');
  });

  it.each([
    ['cnumpy\nfromfile\n(S"/etc/passwd"\ntR.', 'numpy.fromfile'],
    ['ctorch\nload\n(S"x.pth"\ntR.', 'torch.load'],
    ['ctorch.jit.unsupported_tensor_ops\nexecWrapper\n(S"1"\ntR.', 'execWrapper'],
    ['cnumpy.f2py.crackfortran\nmyeval\n(S"1"\ntR.', 'myeval'],
    ['ccloudpickle.cloudpickle\n_make_function\n(S"x"\ntR.', '_make_function'],
    ['cdill._dill\n_create_function\n(S"x"\ntR.', '_create_function'],
    ['ctorch.fx.graph_module\nreduce_graph_module\n(S"x"\ntR.', 'reduce_graph_module'],
  ])('names what reads files or holds code under a harmless name: %s', async (text, named) => {
    const { findings, verdict } = await audit(ascii(text), 'weights.pkl');
    expect(verdict).toBe('dangerous');
    expect(findings.find(({ rule }) => rule === 'pickle-runs-code')!.message).toContain(named);
    expect(findings.map(({ rule }) => rule)).not.toContain('pickle');
  });

  it('names it in the second of two pickles, and where the pickle breaks off behind it', async () => {
    expect(await rulesOf(joined(pickle('harmless', 2), pickle(SYSTEM, 2)), 'weights.pkl')).toContain('pickle-runs-code');
    const broken = joined(pickle(SYSTEM, 2).slice(0, -1), u8(0xff));
    expect(await rulesOf(broken, 'weights.pkl')).toEqual(expect.arrayContaining(['pickle-runs-code', 'pickle-damaged']));
  });

  it('names all of them, not the first', async () => {
    const { findings } = await audit(pickle([SYSTEM, new Call(new Name('builtins', 'eval'), ['1'])], 2), 'x.pkl');
    expect(findings.find(({ rule }) => rule === 'pickle-runs-code')!.message).toMatch(/posix\.system.*builtins\.eval/);
  });

  it('finds one inside of a PyTorch file, in a member that torch.load does not read, and in an array of objects', async () => {
    const members = { 'm/data.pkl': pickle(new Map(), 2), 'm/version': ascii('3\n') };
    expect(await rulesOf(zipSync({ ...members, 'm/extra.pkl': pickle(SYSTEM, 2) }), 'm.pth')).toContain('pickle-runs-code');
    const header = encodeNpyHeader('float64', [1]);
    const objects = ascii(String.fromCharCode(...header).replace("'<f8'", "'|O' "));
    expect(await rulesOf(zipSync({ 'a.npy': joined(objects, pickle(SYSTEM, 2)) }), 'm.npz')).toContain('pickle-runs-code');
  });

  it('tells classes of other programs, and says of those of tensors only that there are pickles', async () => {
    expect(await rulesOf(pickle(new Call(new Name('somebody.models', 'Net'), []), 2), 'x.pkl')).toEqual(expect.arrayContaining(['pickle-foreign-name']));
    const keeper = new TensorKeeper();
    const plain = await audit(keeper.pth(new Map([['w', keeper.tensor({ shape: [2], values: [1, 2] })]])), 'x.pth');
    expect(plain).toMatchObject({ verdict: 'clean', findings: [{ rule: 'pickle' }] });
    expect((await audit(pickle(new Map([['w', numpyArray({ shape: [2], values: [1, 2] })]]), 2), 'x.pkl')).verdict).toBe('clean');
  });
});

describe('archives', () => {
  const inside = (name: string, content = ascii('x'), central = {}) => zipImage([{ name, content, central }]);

  it.each<[string, Uint8Array, RuleName]>([
    ['a name that leaves the folder', inside('../../.bashrc'), 'archive-path'],
    ['an absolute name', inside('/etc/cron.d/x'), 'archive-path'],
    ['a program by its name', inside('m/setup.py'), 'program-inside'],
    ['a program by its content', inside('m/data/0', joined(ascii('\x7fELF'), new Uint8Array(60))), 'program-inside'],
    ['bytes between the members and the directory', zipImage([{ name: 'a', content: ascii('x') }], { before: new Uint8Array(100).fill(7) }), 'unused-bytes'],
  ])('tells %s', async (_, bytes, rule) => {
    expect(await rulesOf(bytes, 'm.zip')).toContain(rule);
  });

  it('tells a symbolic link', async () => {
    const bytes = zipSync({ link: [ascii('/etc/passwd'), { os: 3, attrs: (0o120777 << 16) >>> 0 }] });
    expect(await rulesOf(bytes, 'm.zip')).toContain('archive-link');
  });
});

describe('Keras', () => {
  const layer = (className: string, config: object, more: object = {}) =>
    json({ class_name: 'Sequential', config: { layers: [{ class_name: className, config, ...more }] } });

  it.each<[string, Uint8Array, RuleName]>([
    ['bytecode of Keras 2', layer('Lambda', { name: 'l', function: ['4wEAAAA=', null, null], function_type: 'lambda' }), 'keras-code'],
    ['bytecode of Keras 3', layer('Lambda', { name: 'l', function: { class_name: '__lambda__', config: { code: '4wE=' } } }), 'keras-code'],
    ['a module that is no part of Keras', layer('system', { command: 'id' }, { module: 'os', registered_name: null }), 'keras-import'],
    ['a function of Keras that is no layer', layer('function', 'get_file' as unknown as object, { module: 'keras.utils' }), 'keras-import'],
    ['a class of another program', layer('Net', {}, { module: 'somebody.layers', registered_name: 'x>Net' }), 'keras-foreign-class'],
    ['a vocabulary that is a file', layer('StringLookup', { name: 's', vocabulary: '/etc/passwd' }, { module: 'keras.layers' }), 'keras-file'],
  ])('tells %s', async (_, bytes, rule) => {
    expect(await rulesOf(bytes, 'config.json')).toContain(rule);
    expect(await rulesOf(zipSync({ 'config.json': bytes }), 'model.keras')).toContain(rule);
  });

  it('tells them in the attribute of an HDF5 file', async () => {
    const bytes = await legacyH5(sequential([null, 4], [['Lambda', { name: 'l', function: ['4wE=', null, null] }]]));
    expect(await rulesOf(bytes, 'model.h5')).toContain('keras-code');
  });

  it('tells what HDF5 would read from other files, and what stands before the file', async () => {
    const image = new Hdf5Image();
    const link = { type: 6, body: joined(u8(1, 8, 64, 1), ascii('w'), u16(12), ascii('\0other.h5\0/w\0')) };
    const external = { type: 7, body: joined(u8(1, 0, 0, 0), u16(1, 1), u64(null)) };
    const stored = image.object(dataset([2], FLOAT32, contiguous(null, 8), external));
    const bytes = image.bytes(image.object([link, hardLink('v', stored), textAttribute('backend', 'tensorflow')]));
    const { findings } = await audit(bytes, 'model.h5');
    expect(findings.filter(({ rule }) => rule === 'outside-file')).toHaveLength(2);
    expect(await rulesOf(joined(new Uint8Array(512).fill(0x23), bytes), 'model.h5')).toContain('unused-bytes');
  });
});

describe('graphs', () => {
  it.each<[string, RuleName]>([
    ['PyFunc', 'tensorflow-code'],
    ['ReadFile', 'tensorflow-file'],
    ['WriteFile', 'tensorflow-file'],
  ])('tells %s of TensorFlow', async (op, rule) => {
    const bytes = graphDef({ nodes: [placeholder('x', [1, 4]), { name: 'y', op, input: ['x'] }], weights: {}, inputs: ['x'], outputs: ['y'] });
    expect(await rulesOf(bytes, 'graph.pb')).toContain(rule);
  });

  it('tells what a TorchScript program does beside computing', async () => {
    const code = (body: string) => zipSync({ 'm/data.pkl': pickle(new Map(), 2), 'm/constants.pkl': pickle([], 2), 'm/code/__torch__.py': ascii(body) });
    expect(await rulesOf(code('x = torch.from_file("/etc/passwd")'), 'm.pt')).toContain('torchscript-file');
    expect(await rulesOf(code('x = ops.mylib.run(y)'), 'm.pt')).toContain('foreign-operator');
  });
});

it('tells programs in the place of a model, and folders of somebody', async () => {
  expect(await rulesOf(ascii('#!/bin/sh\nrm -rf ~\n'), 'model.onnx')).toContain('program-inside');
  expect(await rulesOf(pickle(new Map([['path', '/home/ann/projects/secret/run.py']]), 2), 'x.pkl')).toContain('private-path');
});

describe('nothing is found', () => {
  it('in a small net of every format', async () => {
    for (const sample of await samples()) {
      const document = await auditFiles(filesOf(sample), { weights: true });
      expect(document, sample.format).toMatchObject({ verdict: 'clean', format: sample.format });
    }
  });

  it('in the recorded models', async () => {
    const root = fileURLToPath(new URL('../fixtures/', import.meta.url));
    const models = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /(^|[\\/])model\.(h5|keras|pt|pth|onnx|pb|safetensors|tflite)$/.test(name),
    );
    expect(models.length).toBeGreaterThan(50);
    const found: string[] = [];
    for (const name of models) {
      const files = await nodeFileSet(join(root, name));
      const { findings } = await auditFiles(files);
      found.push(...findings.filter(({ severity }) => severity !== 'note').map(({ message }) => `${name.replaceAll('\\', '/')}: ${message}`));
      await files.close();
    }
    // What ONNX Runtime's tools wrote asks for its own operators; a module that was pickled whole names its class.
    const foreign = 'nodes ask for operators that are not of ONNX: com.microsoft.';
    expect(found.filter((message) => !message.includes(foreign))).toEqual(['pytorch/pickled-module/model.pth: the pickle names __main__.VGG']);
    expect(found.filter((message) => message.includes(foreign)).map((message) => message.split('/')[0])).toEqual(Array(3).fill('onnx-exporters'));
  });
});

it('every rule says what to do', () => {
  for (const { advice, title } of Object.values(RULES)) {
    expect(advice).toMatch(/\.$/);
    expect(title).not.toMatch(/\.$/);
  }
});
