/** Members of the zip archive that Keras 3 writes. */
export const ARCHIVE_CONFIG = 'config.json';
export const ARCHIVE_WEIGHTS = 'model.weights.h5';
/** What the index of weights in several files is called. */
export const SHARD_INDEX = '.weights.json';
