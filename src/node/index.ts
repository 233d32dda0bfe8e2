/** 'weighbridge/node': models by their paths on disk, for programs on Node. */
export type { Compression } from './compress.js';
export { type ConvertDocument, type ConvertFileOptions, convertFile } from './convert-file.js';
export { type DiffFilesOptions, diffFiles } from './diff-files.js';
export { type EngineHostOptions, engineHost } from './engine-host.js';
export { type NodeFileSet, nodeFileSet } from './file-set.js';
export { abortAll, type FileSinkOptions, fileSink } from './file-sink.js';
export { fileSource } from './file-source.js';
export type { GivenArrays } from './given-inputs.js';
export { identityOf } from './identity.js';
export { type InspectFileOptions, inspectFile } from './inspect-file.js';
export type { SourceFileOptions } from './open-files.js';
export { cacheFolder } from './remote/cache.js';
export { isRemote } from './remote/location.js';
export { sha256File } from './sha256.js';
export { type ShrinkDocument, type ShrinkFileOptions, shrinkFile } from './shrink-file.js';
export { openSource, type RemoteFileOptions } from './source.js';
export { type VerificationOptions, type VerifyFilesOptions, verifyFile, verifyFiles } from './verify-files.js';
export type { Progress, Watching } from './watching.js';
