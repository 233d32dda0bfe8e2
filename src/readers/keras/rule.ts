/** What a rule for a layer class is. */
import type { ConfigView } from './config-view.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** Makes the layer's steps; gives its only output, or all of them. @throws ModelError where its weights or inputs do not fit */
export type Build = (inputs: readonly Value[], scope: Scope) => Value | readonly Value[];

/** Reads a configuration; obstacles go to the view. */
export type Rule = (config: ConfigView) => Build;

/** A rule for layers that make one output. */
export type OneRule = (config: ConfigView) => (inputs: readonly Value[], scope: Scope) => Value;

/** How many inputs a rule's layers take. */
export interface LayerClass {
  readonly rule: Rule;
  readonly inputs: 'one' | 'several' | 'two' | 'sequence';
  /** Arguments by name that are further inputs. */
  readonly also?: readonly string[];
  /** Spatial axes of a layer that works on pixels; its data format tells how the model's inputs are laid out. */
  readonly spatial?: number;
}
