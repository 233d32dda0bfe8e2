/** The list of what looks at files. Adding a kind is one line here. */
import { gzip, tarArchive, zipArchive } from './archive.js';
import type { Examiner } from './examiner.js';
import { liteGraph, onnxGraph, tensorflowGraph, torchScript } from './graphs.js';
import { hdf5 } from './hdf5.js';
import { kerasConfig } from './keras.js';
import { objectArrays, pickles } from './pickle.js';
import { programs } from './program.js';
import { homePaths } from './texts.js';

export const examiners: readonly Examiner[] = [
  programs,
  zipArchive,
  tarArchive,
  gzip,
  pickles,
  objectArrays,
  hdf5,
  kerasConfig,
  tensorflowGraph,
  onnxGraph,
  liteGraph,
  torchScript,
  homePaths,
];
