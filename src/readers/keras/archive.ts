/** Members of the zip archive that Keras 3 writes. */
export const ARCHIVE_CONFIG = 'config.json';
export const ARCHIVE_WEIGHTS = 'model.weights.h5';
