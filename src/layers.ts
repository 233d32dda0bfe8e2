/**
 * 'weighbridge/layers': what layers are made of, for who reads or changes a layer map. An entry of its own: a bundler that splits code by what
 * modules name would have every page load all operators before it knows of any file.
 */
export { makeLayer, OPS } from './model/ops/index.js';
