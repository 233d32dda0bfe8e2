import { defineConfig } from 'vitest/config';

/** Rooms and files that take seconds, not minutes: for daily work, between two edits. Nothing here starts a process, a runtime of models or a browser. */
const QUICK = [
  'test/*.test.ts',
  'test/{bytes,containers,dialects,model,node}/*.test.ts',
  'test/readers/{caffe-fields,caffe-syntax,caffe-weights,keras-activations,keras-names,keras-settings,other-content,pytorch-containers}.test.ts',
  'test/verify/{array,compare,inputs,judgement,layout,ports,reference,tolerance,weight-pair}.test.ts',
  'test/contracts/byte-{sinks,sources}.test.ts',
  'test/architectures/vgg-names.test.ts',
];
const SLOW = [
  'test/{api,cases,install,readme,same-weights,vgg-family}.test.ts',
  'test/containers/hdf5{,-chunks}.test.ts',
  'test/node/{engine-host,library}.test.ts',
  'test/**/*.slow.test.ts',
];

export default defineConfig({
  test: { setupFiles: ['test/setup.ts'], include: QUICK, exclude: SLOW, testTimeout: 60_000, reporters: ['default'] },
});
