/** Graphs of TensorFlow, TensorFlow Lite and ONNX, and programs of TorchScript: operators that do more than compute. */

import { allNodes, readOnnxModel } from '../containers/onnx.js';
import { readLiteModel } from '../containers/tflite.js';
import { onnx as onnxReader } from '../readers/onnx/index.js';
import { tensorflow as tensorflowReader } from '../readers/tensorflow.js';
import { readContents } from '../readers/tensorflow-model.js';
import { tflite as tfliteReader } from '../readers/tflite.js';
import { listed } from '../words.js';
import type { Audit, Examined, Examiner } from './examiner.js';

const PYTHON_OPS = /^(Eager)?PyFunc(Stateless)?$|^PyCall|^NumpyFunc/;
/** What a graph that was put away for running has: Save and Restore of its own variables are no news in a SavedModel. */
const FILE_OPS =
  /^(ReadFile|WriteFile|WholeFileReader(V2)?|TextLineReader(V2)?|FixedLengthRecordReader(V2)?|TFRecordReader(V2)?|MatchingFiles|TextLineDataset|TFRecordDataset|FixedLengthRecordDataset(V2)?|LoadDataset|SaveDataset(V2)?|PrintV2|InitializeTableFromTextFile(V2)?|SummaryWriter|CreateSummaryFileWriter|WriteSummary|LMDBDataset|SqlDataset|Shutdown\w*|DebugIdentity(V[23])?|DebugNumericSummary(V2)?)$/;
const SAVING_OPS = /^(Save(V2|Slices)?|Restore(V2|Slice)?|MergeV2Checkpoints|ShardedFilename)$/;
const ONNX_DOMAINS = new Set(['', 'ai.onnx', 'ai.onnx.ml', 'ai.onnx.training', 'ai.onnx.preview.training']);

export const tensorflowGraph: Examiner = {
  kind: 'TensorFlow graph',
  // A SavedModel and an early ONNX file begin alike.
  match: async (file) => !(await onnxGraph.match(file)) && tensorflowReader.match(probeOf(file)),
  async examine({ source, path }, audit) {
    for (const { graph, isSavedModel } of await readContents(source)) {
      const ops = new Set([...graph.nodes, ...[...graph.functions.values()].flatMap(({ nodes }) => nodes)].map(({ op }) => op));
      const chosen = (pattern: RegExp) => [...ops].filter((op) => pattern.test(op));
      tellOps(audit, 'tensorflow-code', 'the graph calls Python', chosen(PYTHON_OPS), path);
      tellOps(audit, 'tensorflow-file', 'the graph reads or writes files', [...chosen(FILE_OPS), ...(isSavedModel ? [] : chosen(SAVING_OPS))], path);
    }
  },
};

export const onnxGraph: Examiner = {
  kind: 'ONNX graph',
  match: (file) => onnxReader.match(probeOf(file)),
  async examine({ source, path, files }, audit) {
    const alone = { ...files, open: async (name: string) => (name === path ? source : files.open(name)) };
    const model = await readOnnxModel(alone, path);
    const local = new Set(model.functions.map(({ domain, name }) => `${domain}.${name}`));
    const nodes = allNodes(model);
    const foreign = nodes.filter(({ domain, op }) => !ONNX_DOMAINS.has(domain) && !local.has(`${domain}.${op}`)).map(({ domain, op }) => `${domain}.${op}`);
    tellOps(audit, 'foreign-operator', 'nodes ask for operators that are not of ONNX', [...new Set(foreign)], path);
  },
};

/** Of TensorFlow itself. */
const LITE_CUSTOM = new Set([
  'CUSTOM TFLite_Detection_PostProcess',
  'CUSTOM Convolution2DTransposeBias',
  'CUSTOM MaxPoolingWithArgmax2D',
  'CUSTOM MaxUnpooling2D',
]);

export const liteGraph: Examiner = {
  kind: 'TensorFlow Lite graph',
  match: (file) => tfliteReader.match(probeOf(file)),
  async examine({ source, path }, audit) {
    const { graphs } = await readLiteModel(source);
    const foreign = new Set(graphs.flatMap(({ operators }) => operators.map(({ op }) => op)).filter((op) => op.startsWith('CUSTOM ') && !LITE_CUSTOM.has(op)));
    tellOps(
      audit,
      'foreign-operator',
      'the graph asks for operators that are not of TensorFlow Lite',
      [...foreign].map((op) => op.slice('CUSTOM '.length)),
      path,
    );
  },
};

function probeOf({ files, source, head, path }: Examined) {
  return { files, name: path, source, head, tail: head };
}

const FROM_FILE = /\b(torch\.from_file|aten::from_file|torch\.save|aten::save|prim::PythonOp|\^\w+\()/;
const OTHER_OPS = /\bops\.(?!prim\b|aten\b|prims\b|quantized\b|_caffe2\b)(\w+)\.(\w+)/g;

export const torchScript: Examiner = {
  kind: 'TorchScript program',
  match: ({ path }) => /\/code\/.*\.py$/.test(path),
  async examine({ source, path }, audit) {
    const text = new TextDecoder().decode(await source.read(0, source.byteLength));
    const [found] = FROM_FILE.exec(text) ?? [];
    if (found) audit.tell('torchscript-file', `the program has ${found}`, path, text.indexOf(found));
    tellOps(
      audit,
      'foreign-operator',
      'the program asks for operators of other libraries',
      [...new Set([...text.matchAll(OTHER_OPS)].map(([, library, op]) => `${library}.${op}`))],
      path,
    );
    audit.tell('torchscript', 'a TorchScript program', path);
  },
};

function tellOps(audit: Audit, rule: Parameters<Audit['tell']>[0], what: string, ops: readonly string[], path: Examined['path']): void {
  if (ops.length === 0) return;
  audit.tell(rule, `${what}: ${listed(ops)}`, path);
}
