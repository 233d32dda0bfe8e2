/** The public face of the library; it runs in a browser. Proof is in 'weighbridge/verify', what needs Node in 'weighbridge/node'. */
export { blobFileSet, blobSource } from './bytes/blob-file-set.js';
export { type BlobSink, blobSink } from './bytes/blob-sink.js';
export { type ByteSink, type FileSink, type MemorySink, memorySink, type WrittenFile } from './bytes/byte-sink.js';
export { type ByteSource, memorySource, sliceSource } from './bytes/byte-source.js';
export { directorySink } from './bytes/directory-sink.js';
export { type FileSet, memoryFileSet, withFile } from './bytes/file-set.js';
export { readNpy, readNpz } from './containers/npy.js';
export { type ConvertOptions, type ConvertResult, canonicalWeights } from './convert.js';
export type { DiffOptions, NamedModel } from './diff/diff.js';
export type { DiffDocument, TensorDiff } from './diff/document.js';
export { type ErrorPlace, isModelError, ModelError, type ModelErrorKind } from './errors.js';
export type { InspectOptions, LayerDocument, ModelDocument, TensorDocument } from './inspect.js';
export { castTensor } from './model/cast.js';
export type { DType, DTypeName } from './model/dtype.js';
export type { Change } from './model/edited.js';
export type { Labels } from './model/labels.js';
export type { Architecture, Dim, Layer, LayerMap, Layout, ModelFile, Notice, Port, StoredWeight } from './model/layer-map.js';
export type { Framing, GivenPreparation, Preparation } from './model/preparation.js';
export { flip, permute, reshape, sliceAxis, storedTensor, type Tensor, tensorBytes, tensorChunks } from './model/tensor.js';
export {
  type ConvertedBlobs,
  convert,
  convertBlob,
  type DescribeOptions,
  describeModel,
  diff,
  diffModels,
  inspect,
  inspectBlob,
  openModel,
} from './programs.js';
export { readers } from './readers/index.js';
export type { OpenOptions } from './readers/open.js';
export type { Reader, SourceName } from './readers/reader.js';
export { VERSION } from './version.js';
export { type AnyWriter, writers } from './writers/index.js';
export type { TargetName, WeightsWriter, WriteOptions, WriteResult, Writer } from './writers/writer.js';
