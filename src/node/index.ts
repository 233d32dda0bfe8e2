/** Files and folders on disk; what the command line and programs on Node add to the library. */
export { type EngineHostOptions, engineHost } from './engine-host.js';
export { type NodeFileSet, nodeFileSet } from './file-set.js';
export { abortAll, type FileSinkOptions, fileSink } from './file-sink.js';
export { fileSource } from './file-source.js';
export { identityOf } from './identity.js';
export { sha256File } from './sha256.js';
