/** An engine's process that misbehaves as drivers do, each way when its engine is opened or run. */
import { ModelError } from '../../dist/errors.js';
import { serveEngines } from '../../dist/node/engine-serve.js';

const WAYS = {
  'kill themselves': () => {
    console.error('the driver says: bad descriptor');
    process.kill(process.pid, 'SIGSEGV');
    return new Promise(() => {});
  },
  abort: () => {
    console.error('libc++abi: terminating');
    process.abort();
  },
  exit: () => process.exit(3),
  hang: () => {
    for (;;);
  },
  wait: () => new Promise(() => {}),
  refuse: () => {
    throw new ModelError('unsupported', 'there is a layer too many', { layer: 'fc9' });
  },
  err: () => {
    throw new TypeError('a mistake of ours');
  },
  chatter: async ({ feeds }) => {
    console.log('{"not": "the report"}');
    return new Map(feeds);
  },
};

const session = (way) => ({
  inputs: [{ name: 'x', shape: [null, 2] }],
  outputs: [{ name: 'y', shape: [] }],
  intermediates: ['inner'],
  run: async (feeds, wanted) => WAYS[way]({ feeds, wanted }),
  close: async () => {},
});

serveEngines(
  Object.keys(WAYS).map((way) => ({
    name: way,
    formats: ['onnx'],
    device: 'gpu',
    async availability() {
      return way === 'exit' ? process.exit(7) : { available: true, detail: process.env.WEIGHBRIDGE_TEST_VARIABLE ?? `${process.env.NVIDIA_TF32_OVERRIDE} ${process.env.GLIBC_TUNABLES}` };
    },
    open: async () => session(way),
  })),
);
