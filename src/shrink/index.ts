/** What `shrink` does beyond a dtype: other weights in place of a net's own, by a step that is given or by search. */
import { ModelError } from '../errors.js';
import type { CodeRange } from '../model/block-codes.js';
import type { Change } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import { type BestCoder, type Coded, codeBest } from './best.js';
import { DEFAULT_BLOCK } from './blocks.js';
import type { CodeForm, Level } from './coded.js';
import { codeRounded } from './rounded.js';
import { fewRows } from './rows.js';
import { describeLevels, levelled, type SearchOptions, search } from './search.js';
import type { Better, Shrunk } from './shrunk.js';
import { type CodableWeight, codableWeights, withOwnBiases, withWeights } from './weights.js';

/** Targets that keep codes, and how. */
export const CODE_FORMS: Readonly<Record<string, CodeForm>> = { onnx: 'channels', tfjs: 'whole', 'tfjs-graph': 'whole' };

export type { Better, Shrunk };
export { DEFAULT_BLOCK };

/**
 * Every large weight in codes of 4 bits, with a scale for each block along the input axis; depthwise kernels and the net's ends in 8 bits.
 *
 * @param block longest
 * @throws ModelError 'usage' where the net has no large weights
 */
export async function shrinkToFour(net: LayerMap, range: CodeRange, block: number, better: Better = { inputs: null }): Promise<Shrunk> {
  const { map, shared } = withOwnBiases(net);
  const weights = someWeights(map);
  const { map: made, told, claims } = await coded(map, { form: 'channels', levels: levelsOf(weights, range), block }, better);
  const blocked = codableWeights(made).filter(({ tensor }) => / in blocks /.test(tensor.replaces?.method ?? '')).length;
  const tender = weights.filter(({ isTender }) => isTender).length;
  const parts = [
    `${blocked} weights are ${range} in blocks of up to ${block} values along the input axis`,
    ...(weights.length - tender > blocked ? [`${weights.length - tender - blocked}, whose axes no such block divides, have a scale for each channel`] : []),
    ...(tender > 0 ? [`${tender} (depthwise kernels, the net's ends) are in all codes of 8 bits`] : []),
  ];
  return { map: withWeights(made, shared), claims, change: changeOf(`${parts.join(', ')}${told}`, weights) };
}

function levelsOf(weights: readonly CodableWeight[], level: Level): Level[] {
  return weights.map(({ isTender }) => (isTender ? 'full' : level));
}

function changeOf(message: string, weights: readonly CodableWeight[]): Change {
  return { transform: 'shrink', message, layers: weights.map(({ layer }) => layer.name) };
}

/** Weights of such levels, each rounded, or as inputs say. */
async function coded(map: LayerMap, coder: BestCoder, { inputs, onProgress }: Better): Promise<Coded> {
  return inputs ? codeBest(map, coder, inputs, onProgress) : { map: await codeRounded(map, coder, onProgress), told: '', claims: [] };
}

/**
 * Every large weight in steps of so many of its standard deviations; depthwise kernels and the net's ends in all codes that there are. 'full': all of them so.
 *
 * @throws ModelError 'usage' where the net has no large weights
 */
export async function shrinkByStep(net: LayerMap, form: CodeForm, step: number | 'full', better: Better = { inputs: null }): Promise<Shrunk> {
  const { map, shared } = withOwnBiases(net);
  const weights = someWeights(map);
  const tender = weights.filter(({ isTender }) => isTender).length;
  const wide = `${weights.length - tender} weights are in steps of ${step} of their standard deviations${tender > 0 ? `, and ${tender} (depthwise kernels, the net's ends) in all codes of 8 bits` : ''}`;
  const { map: made, told, claims } = await coded(map, { form, levels: levelsOf(weights, step) }, better);
  const message = `${step === 'full' ? `${weights.length} weights are in codes of 8 bits` : wide}${told}`;
  return { map: withWeights(made, shared), claims, change: changeOf(message, weights) };
}

function someWeights(map: LayerMap): CodableWeight[] {
  const weights = codableWeights(map);
  if (weights.length === 0) throw new ModelError('usage', 'the net has no kernels or tables to be coded.');
  return weights;
}

/** Levels by search, within a budget or at a least agreement. */
export async function shrinkBySearch(net: LayerMap, options: SearchOptions, better: Better = { inputs: null }): Promise<Shrunk> {
  const { map, shared } = withOwnBiases(net);
  const weights = someWeights(map);
  const { choices, isMet, record, isMeasured } = await search(map, options);
  const { map: low, levels } = levelled(map, choices);
  const { map: made, told, claims } = await coded(low, { form: options.form, levels, isSearched: true }, better);
  const few = options.inputs && !better.inputs ? fewRows(options.inputs.rows) : '';
  const how = isMeasured ? 'by what each does to the output' : "by each one's own size, as there were no inputs, or the net is too large";
  const near = isMet ? '' : '; what was asked for is not to be had';
  const message = `what weights become was searched for, ${how}: ${describeLevels(choices)}${told}${few}${near}`;
  return { map: withWeights(made, shared), claims: low === map ? claims : ['low-rank', ...claims], change: { ...changeOf(message, weights), search: record } };
}
