import type { Value } from '../../model/builder.js';
import type { TfOperation } from './node.js';

/** What one node becomes: its outputs, or its only one. @throws ModelError 'unsupported' without the node's name, which is added */
export type TfRule = (operation: TfOperation) => Value | readonly Value[];
