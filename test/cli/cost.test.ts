/** Small files that ask for much: those of formats that have been read longest, and some of each other; `cost.slow.test.ts` has them all. */
import { HDF5_FILES } from './cost-hdf5.js';
import { JSON_FILES } from './cost-json.js';
import { PROTOBUF_FILES } from './cost-protobuf.js';
import { ZIP_FILES } from './cost-zip.js';
import { boundCosts } from './costly.js';
import { GRAPHS } from './costly-graphs.js';

/** Of so many one, so that all tests end in the time that they may take. */
const SAMPLE = 3;

boundCosts({ HDF5: HDF5_FILES, JSON: JSON_FILES, protobuf: PROTOBUF_FILES, zip: ZIP_FILES });
boundCosts(
  Object.fromEntries(Object.entries(GRAPHS).map(([format, files]) => [format, Object.fromEntries(Object.entries(files).filter((_, i) => i % SAMPLE === 0))])),
);
