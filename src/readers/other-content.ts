/**
 * What is no model that is read here, but well known: what a failed download leaves behind, formats of other tools, archives, pictures. Each is
 * called by its name, with the way on. One table; the more telling signs first.
 */
import { type Content, describeLeftover, holds, isZero, type Look, SERVER_JSON, sentence } from '../bytes/leftover.js';

const TAR = 'a tar archive without a PyTorch file that could be read in it: unpack it, and name the model';
const MEAN = 'a Caffe mean image (a BlobProto), not a net: the weights are in the .caffemodel';
/** Any byte, as signs have it. */
const BYTE = '(?:%..|[^%])';
const FLATBUFFER = (identifier: string) => new RegExp(`^${BYTE}{4}${identifier}`);
const bytes = (pattern: string) => new RegExp(pattern.replaceAll('.', BYTE));

const OTHERS: readonly Content[] = [
  SERVER_JSON,
  { head: /^\{[\s\S]*"class_name"/, what: 'a Keras configuration, which holds no weights: name the file with the weights (.h5), and this one with --config' },
  {
    head: /^\{[\s\S]*"(nodes|arg_nodes)"\s*:[\s\S]*"op"/,
    what: "an MXNet symbol, the wiring without the weights; MXNet's own exporter (mxnet.onnx) makes ONNX of both",
  },
  { head: /^\{[\s\S]*"fileFormatVersion"/, what: 'the manifest of a Core ML package: name a model of another format; coremltools reads this one' },
  { head: /^\{[\s\S]*"base_code"[\s\S]*"program"/, what: 'a Paddle program (inference.json): paddle2onnx makes ONNX of it and its parameters (.pdiparams)' },
  {
    head: /^\{[\s\S]*"peft_type"/,
    what: 'the configuration of an adapter (LoRA and the like), changes of a model and no model: merge it into its model (merge_and_unload of peft) and save that',
  },
  { head: /^\{[\s\S]*"_class_name"\s*:\s*"\w*Pipeline"/, what: 'the list of what a pipeline of diffusers is made of: name the weights of one of its parts' },
  {
    head: /^\{[\s\S]*"(model_type|architectures)"/,
    what: 'a configuration of Hugging Face, which holds no weights: name the file with the weights (model.safetensors, pytorch_model.bin) or their folder',
  },
  { head: /^\{[\s\S]*"nbformat"/, what: 'a notebook, which holds no weights: run it and name the file that it saves' },
  { head: /^\{[\s\S]*"learner"/, what: 'an XGBoost model, trees and no neural network' },
  { head: /^\{/, what: 'JSON text, which holds no weights' },
  { head: FLATBUFFER('CIR0'), what: 'a Circle model, made for running only: name the TensorFlow Lite or ONNX file that it was made from' },
  { head: FLATBUFFER('ORTM'), what: 'an ONNX Runtime model in its own format (.ort), made for running only: name the .onnx that it was made from' },
  { head: FLATBUFFER('ET\\d\\d'), what: 'an ExecuTorch program, made for running only: name the PyTorch file that it was exported from' },
  { head: FLATBUFFER('MSL\\d'), what: 'a MindSpore Lite model: export ONNX from MindSpore' },
  {
    head: /^GGUF/,
    what: 'a GGUF model of llama.cpp; its weights are mostly in blocks of a few bits. Name the safetensors or PyTorch files that it was made from',
  },
  { head: /^(lmgg|tjgg|fmgg|algg)/, what: 'a GGML model of llama.cpp: name the safetensors or PyTorch files that it was made from' },
  { head: /^%12%01(%00){6}/, what: "an MXNet parameter file; MXNet's own exporter (mxnet.onnx) makes ONNX of it and its symbol" },
  {
    head: /^(%00){4}%0[1-3](%00){3}%0[0-5](%00){3}/,
    name: /\.(weights|backup|conv\.\d+)$/i,
    what: 'Darknet weights, without the wiring, which is in the .cfg; a Darknet-to-ONNX or PyTorch converter takes both',
  },
  { head: /^\s*([#;][^\n]*\n\s*)*\[(net|network)\]/, what: 'the wiring of a Darknet net, without the weights (.weights)' },
  { head: /^(f|p)trt/, what: 'a TensorRT engine, made for one graphics card: name the ONNX file that it was built from' },
  { name: /\.(engine|trt|plan)$/i, what: 'a TensorRT engine by its name, made for one graphics card: name the ONNX file that it was built from' },
  { head: /^7767517\s/, what: 'the wiring of an ncnn net (.param); ncnn nets are made of ONNX or PyTorch files: name those' },
  { head: /^(<\?xml[^>]*>\s*)?<net\b/, what: 'the wiring of an OpenVINO net (.xml): name the ONNX or other file that it was made from' },
  { head: /^(<\?xml[^>]*>\s*)?<PMML\b/, what: 'a PMML model, which is no neural network' },
  {
    head: /^(<\?xml[^>]*>\s*)?(<!--(?:(?!-->)[\s\S])*-->\s*)*<opencv_storage>/,
    what: 'a file of OpenCV (a cascade, a classifier or matrices), which is no neural network of layers',
  },
  { head: /^<Nnet>|^%00B<(Nnet|TransitionModel)>/, what: 'a model of Kaldi: no format that is read here has its layers; export ONNX (kaldi-onnx)' },
  { head: /^(<\?xml[^>]*>\s*)?</, what: 'XML text, which holds no weights' },
  { head: /^version \d+(\.\d+)?;[\s\S]*\bgraph\b/, what: 'the wiring of an NNEF net (graph.nnef): name the file that it was exported from' },
  { head: /^N%ef/, what: 'a tensor of an NNEF net: name the file that it was exported from' },
  {
    head: /^\s*(#[^\n]*\n\s*)*(((net|train_net|test_net|test_iter|test_interval|base_lr|lr_policy|max_iter|solver_mode|snapshot)\s*:)|net_param\s*\{)/,
    name: /\.prototxt$/i,
    what: 'a Caffe solver, how a net was trained: name the .caffemodel, and the prototxt of the net with --prototxt',
  },
  {
    name: /(^|[/\\])(keras_metadata|tfhub_module|fingerprint)\.pb$/,
    what: 'a note beside a SavedModel, which holds no net: name the folder, or saved_model.pb in it',
  },
  { head: /^\s*saved_model_schema_version\s*:/, what: 'a SavedModel as text (.pbtxt): save it anew, which makes saved_model.pb' },
  { head: /^\s*(#[^\n]*\n\s*)*item\s*\{/, what: 'a list of class names (of the detectors of TensorFlow), which holds no weights' },
  {
    head: /^\s*(#[^\n]*\n\s*)*model\s*\{\s*\w+\s*\{/,
    name: /\.(config|pbtxt)$/i,
    what: 'a configuration of the detectors of TensorFlow, which holds no weights: name the exported model',
  },
  { head: /^model_checkpoint_path:/, what: 'a list of TensorFlow checkpoints: name the folder, or the .index file of one of them' },
  {
    name: /\.(data-\d{5}-of-\d{5}|ckpt(-\d+)?\.(index|meta))$|(^|[/\\])variables\.index$/,
    what: 'a part of a TensorFlow checkpoint, whose index (.index) is missing beside it or damaged',
  },
  {
    head: bytes('^\n.{1,3}\n.{1,120}%12.(Placeholder|Const|VariableV2|VarHandleOp|NoOp|Identity)'),
    what: 'a TensorFlow graph, but not a whole one: its nodes cannot be followed to the end. Was a download interrupted?',
  },
  {
    name: /\.ckpt(-\d{5}-of-\d{5})?$/i,
    head: bytes('^%00%00.{1,3}\n'),
    what: 'a TensorFlow checkpoint of the first version, but not a whole one: its table has no end. Was a download interrupted?',
  },
  {
    name: /\.(ckpt|mindir)$/i,
    head: bytes('^\n.{1,4}\n.{1,2}[\\w\\x2e/-]+%12'),
    what: 'a checkpoint or model of MindSpore: export ONNX from MindSpore (mindspore.export)',
  },
  {
    name: /\.pb$/i,
    head: bytes(
      '^(\n.{1,80})?%12[\\s\\S]*".(GivenTensor\\w*Fill|ConstantFill|XavierFill|Conv|Relu|MaxPool|AveragePool|FC|Softmax|SpatialBN|Sum|Concat|Int8\\w+)',
    ),
    what: 'a Caffe2 net (init_net.pb has its weights, predict_net.pb its wiring): caffe2.python.onnx makes ONNX of both',
  },
  { name: /\.pb$/i, what: 'a TensorFlow or Caffe2 graph by its name, but its content is neither a graph of TensorFlow nor a SavedModel' },
  { head: bytes('^\n.{2,40}%12.{1,8}feed'), what: 'a Paddle program: paddle2onnx makes ONNX of it and its parameters' },
  { name: /\.(pdmodel|pdiparams)$/i, what: 'a part of a Paddle model: paddle2onnx makes ONNX of the program (.pdmodel) and its parameters (.pdiparams)' },
  { name: /\.(mlmodel|espresso\.(net|shape|weights)|mil)$/i, what: 'a Core ML model: name the file that it was converted from; coremltools reads this one' },
  { name: /\.mnn$/i, what: 'an MNN model: name the ONNX or other file that it was converted from' },
  { head: /^(RKNN|IMOD|%01HEF)/, what: 'a model compiled for one chip or runtime: name the file that it was compiled from' },
  {
    name: /\.(rknn|om|hef|dlc|kmodel|tmfile|bmodel|cvimodel|xmodel|blob|nb|ms|uff|hbm)$/i,
    what: 'a model compiled for one chip or runtime: name the file that it was compiled from',
  },
  {
    name: /\.(t7|net)$/i,
    head: /^%0[2-4](%00){3}%01(%00){3}/,
    what: 'a Torch7 file (Lua): load it with torchfile or an older PyTorch and save the state dict',
  },
  {
    name: /\.msgpack$/i,
    head: /^%(8.|de|df)/,
    what: 'a msgpack file, which is how Flax keeps parameters: load it with flax.serialization and save the arrays with numpy.savez or safetensors',
  },
  {
    name: /\.distcp$/i,
    what: 'a part of a distributed checkpoint: torch.distributed.checkpoint.format_utils.dcp_to_torch_save makes one PyTorch file of its folder',
  },
  {
    name: /(^|[/\\])\.metadata$/,
    head: /^%80/,
    what: 'the index of a distributed checkpoint: torch.distributed.checkpoint.format_utils.dcp_to_torch_save makes one PyTorch file of its folder',
  },
  { head: /^(%80[\s\S]*joblib\.numpy_pickle|ZF0x)/, what: 'a file of joblib: load it with joblib.load and save the arrays with numpy.savez' },
  { name: /\.joblib$|\.pkl\.(z|gz|bz2|xz|lzma)$/i, what: 'a file of joblib, packed: load it with joblib.load and save the arrays with numpy.savez' },
  { head: /^(RD[AX][23]\n|X\n%00%00|A\n[23]\n)/, what: 'a data file of R: save the weights from R with keras (save_model_hdf5) or torch (torch_save)' },
  { name: /\.(rds|rda|rdata)$/i, what: 'a data file of R: save the weights from R with keras (save_model_hdf5) or torch (torch_save)' },
  { head: /^MATLAB (5|7)/, what: 'a MATLAB file: export the net with exportONNXNetwork' },
  { head: /^(tree\nversion=|CBM1|binf|\{L)/, what: 'a model of decision trees, which is no neural network' },
  {
    head: bytes('^(%89HDF[\\s\\S]*learned_net|%08.{1,5}%12.{1,2}[^%]*caffemodel)'),
    what: 'a Caffe solver state, the history of an optimiser: the weights are in the .caffemodel that was saved with it',
  },
  { head: /^%89HDF/, what: 'an HDF5 file, but it holds neither Keras nor Caffe weights' },
  // num: 1, channels: 3 or 1, height, ...; a BlobProto.
  { head: /^%08%01%10%0[13]%18/, what: MEAN },
  {
    head: new RegExp(`^%08(%0\\d|\\n|\\t)%12${BYTE}{1,3}\\n`),
    what: 'a Core ML model: name the file that it was converted from; coremltools reads this one',
  },
  { head: /^%1f%8b/, what: 'a gzip archive: unpack it first' },
  { head: bytes('^.{257}ustar'), what: TAR },
  {
    head: bytes('^PK.{28}([^%/]+/)?data/aotinductor/'),
    what: 'a program that AOTInductor compiled, made for running only: save the program that it was compiled from (torch.export.save)',
  },
  { head: /^PK/, what: 'a zip archive that holds no model known here' },
  { head: /^7z%bc%af/, what: 'a 7-Zip archive: unpack it first' },
  { head: /^Rar!/, what: 'a RAR archive: unpack it first' },
  { head: /^%fd7zXZ/, what: 'an xz archive: unpack it first' },
  { name: /\.(lzma)$/i, head: /^\]%00%00/, what: 'an LZMA archive: unpack it first' },
  { head: /^%1f%9d/, what: 'a file packed with compress (.Z): unpack it first' },
  { head: /^MSCF/, what: 'a cabinet archive: unpack it first' },
  { head: /^%ff%06%00%00sNaPpY/, what: 'a Snappy archive: unpack it first' },
  { head: /^BZh\d/, what: 'a bzip2 archive: unpack it first' },
  { head: /^\(%b5\/%fd/, what: 'a Zstandard archive: unpack it first' },
  { head: /^%04"M%18/, what: 'an LZ4 archive: unpack it first' },
  { head: bytes('^(%89PNG|%ff%d8%ff|GIF8|BM.{4}(%00){4}|RIFF.{4}WEBP|II\\*%00|MM%00\\*|%00%00%01%00)'), what: 'a picture, not a model' },
  { head: bytes('^(RIFF.{4}(WAVE|AVI )|ID3|OggS|fLaC|.{4}ftyp)'), what: 'a sound or a film, not a model' },
  { head: /^%25PDF/, what: 'a PDF document, not a model' },
  { head: /^(%7fELF|MZ|%cf%fa%ed%fe|%ca%fe%ba%be|%00asm)/, what: 'a program, not a model' },
  {
    head: /^(data:[\w./+-]*;base64,|(UEsDB|iUhERg0K|gAKKCmz8)[\w+/]{40})/,
    what: 'a model in base64, bytes written as letters: decode it first (base64 -d)',
  },
  { name: /\.py$/i, what: 'a program in Python, which is never run: name the file with the weights' },
  { head: /^SQLite format 3/, what: 'an SQLite database, not a model' },
  { head: /^PAR1/, what: 'a table (Parquet), not a model' },
  { head: /^ARROW1/, what: 'a table (Arrow), not a model' },
];

/** A sentence about well-known content, or null. */
export function describeContent(look: Look): string | null {
  if (look.byteLength === 0) return 'the file is empty. Was a download interrupted?';
  const leftover = describeLeftover(look);
  if (leftover !== null) return leftover;
  if (isZero(look.head) && isZero(look.tail)) return 'the file is full of zeros: its space was reserved, but it was never downloaded.';
  const found = OTHERS.find((content) => holds(content, look));
  return found ? sentence(found, look) : describeShifted(look.head);
}

/** How models begin that can be told wherever that is: PyTorch and other archives, PyTorch before 1.6, HDF5. */
const BEGINNINGS: readonly (readonly [what: string, start: readonly number[]])[] = [
  ['a zip archive, as PyTorch and Keras write', [0x50, 0x4b, 3, 4]],
  ['a PyTorch file', [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46]],
  ['an HDF5 file', [0x89, 0x48, 0x44, 0x46, 13, 10, 0x1a, 10]],
];

/** A model behind bytes that do not belong to it: headers of an answer, a line that somebody put there. */
function describeShifted(head: Uint8Array): string | null {
  for (let at = 1; at < head.length - 8; at++) {
    const found = BEGINNINGS.find(([, start]) => start.every((byte, i) => head[at + i] === byte));
    if (found) return `the first ${at} bytes do not belong to a model; behind them begins ${found[0]}: get the file anew, or cut them off.`;
  }
  return null;
}

/** What a folder is that holds no model which is read here, by the names in it; null for any other. */
export function describeFolder(names: readonly string[]): string | null {
  const has = (name: RegExp) => names.some((candidate) => name.test(candidate));
  if (has(/\.distcp$/)) {
    return 'this is a distributed checkpoint: torch.distributed.checkpoint.format_utils.dcp_to_torch_save makes one PyTorch file of it.';
  }
  if (has(/^Manifest\.json$/)) return 'this is a Core ML package: name the model that it was converted from; coremltools reads this one.';
  if (has(/^variables\.index$/))
    return 'these are the variables of a SavedModel, values without the wiring: name the folder above, in which saved_model.pb lies.';
  if (has(/^variables\/variables\.(index|data-\d{5}-of-\d{5})$/))
    return 'these are the variables of a SavedModel without its wiring: saved_model.pb, which lies beside them, is missing.';
  if (has(/\.data-\d{5}-of-\d{5}$/))
    return 'these are TensorFlow checkpoints: name the .index file of one of them; where there is none, the values cannot be found.';
  if (has(/^zero_pp_rank_|^mp_rank_\d+_model_states\.pt$/))
    return 'this is a checkpoint of DeepSpeed: its own zero_to_fp32.py makes one PyTorch file of it, or name mp_rank_00_model_states.pt.';
  if (has(/^(latest|zero_to_fp32\.py)$/)) {
    return 'this is a folder of DeepSpeed checkpoints: its own zero_to_fp32.py makes one PyTorch file of the newest, or name mp_rank_00_model_states.pt in the folder that the file "latest" names.';
  }
  if (has(/^latest_checkpointed_iteration\.txt$/))
    return 'this is a folder of Megatron checkpoints: name model_optim_rng.pt in the folder of the newest iteration (iter_0000010/mp_rank_00).';
  if (has(/^model\.mil$|^coremldata\.bin$/)) return 'this is a compiled Core ML model: name the model that it was converted from.';
  if (has(/^(manifest\.ocdbt|_CHECKPOINT_METADATA|_METADATA|_sharding)$/)) {
    return 'this is a checkpoint of Orbax (JAX): restore it there, and save the arrays with numpy.savez or safetensors.';
  }
  if (has(/^(\.zarray|\.zgroup|zarr\.json)$/)) return 'this is a Zarr store: load it with zarr, and save the arrays with numpy.savez or safetensors.';
  if (has(/^saved_model\.pbtxt$/)) return 'this is a SavedModel as text: save it anew, which makes saved_model.pb.';
  if (has(/^adapter_config\.json$/))
    return 'this is an adapter (LoRA and the like), changes of a model and no model: merge it into its model (merge_and_unload of peft) and save that.';
  if (has(/\.pdiparams$/) || has(/^(__model__|inference\.pdmodel|model\.pdmodel)$/)) return 'this is a Paddle model: paddle2onnx makes ONNX of it.';
  return null;
}
