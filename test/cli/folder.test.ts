/** `-C folder`: everything is as if the command had been started there. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

const folder = temporaryFolder();
const nets = join(folder, 'nets');
beforeAll(() => {
  mkdirSync(join(nets, 'inner'), { recursive: true });
  copyFileSync(join(DIGITS, 'digits.h5'), join(nets, 'a.h5'));
  copyFileSync(join(DIGITS, 'digits.h5'), join(nets, 'inner/b.h5'));
  copyFileSync(join(DIGITS, 'digits.caffemodel'), join(nets, 'net.caffemodel'));
  copyFileSync(join(DIGITS, 'digits.prototxt'), join(nets, 'net.prototxt'));
  writeFileSync(join(nets, 'weighbridge.config.json'), JSON.stringify({ jobs: { one: { model: 'a.h5', output: 'jobs/one.onnx', verify: false } } }));
});
const run = (...args: readonly string[]) => weighbridge(args, folder);

describe('-C', () => {
  it.each([
    [['-C', 'nets', 'inspect', 'a.h5']],
    [['inspect', 'a.h5', '-C', 'nets']],
    [['-Cnets', 'inspect', 'a.h5']],
    [['-C', 'nets', '-C', 'inner', 'inspect', 'b.h5']],
    [['-C', 'nets/inner', '-C', '..', 'inspect', 'inner/b.h5']],
    [['-C', nets, 'inspect', 'net.caffemodel']],
  ])('%j finds the model there', (args) => {
    const { status, stderr } = run(...args);
    expect(status, stderr).toBe(0);
  });

  it('options that name files, patterns and outputs begin there', () => {
    const { status, stderr } = run('-C', 'nets', 'convert', '*.h5', 'inner/*.h5', '-o', 'out/', '--to', 'onnx', '--no-verify');
    expect(status, stderr).toBe(0);
    expect(readdirSync(join(nets, 'out')).sort()).toEqual(['a.onnx', 'inner']);
    expect(readdirSync(folder)).toEqual(['nets']);
    const caffe = run('-C', 'nets', 'convert', 'net.caffemodel', '--prototxt', 'net.prototxt', '-o', 'net.onnx', '--no-verify');
    expect(caffe.status, caffe.stderr).toBe(0);
    expect(existsSync(join(nets, 'net.onnx'))).toBe(true);
  });

  it('a configuration is looked for there', () => {
    const { status, stderr } = run('-C', 'nets', 'run');
    expect(status, stderr).toBe(0);
    expect(readFileSync(join(nets, 'jobs/one.onnx')).byteLength).toBeGreaterThan(0);
  });

  it('what to try next is told with it', () => {
    expect(run('-C', 'nets', '-C', 'inner', 'inspect', 'b.h5').stderr).toMatch(/^next {5}weighbridge -C nets -C inner convert b\.h5 /m);
    expect(run('inspect', '-C', 'nets', 'a.h5').stderr).toMatch(/^next {5}weighbridge -C nets convert a\.h5 /m);
  });

  it.each([
    ['nothing', /-C nothing: there is no such folder/],
    ['nets/a.h5', /this is a file/],
  ])('%s is refused before anything is looked at', (where, why) => {
    const { status, stderr, stdout } = run('-C', where, 'inspect', 'a.h5');
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(why);
    expect(JSON.parse(run('-C', where, 'inspect', 'a.h5', '--json').stdout)).toMatchObject({ error: { kind: 'usage' } });
  });
});
