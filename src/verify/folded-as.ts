/** Exporters fold batch normalisations into the layers before them: such a file is compared, layer by layer, with what folding makes of the source. */
import type { EditedMap } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';

/** The source with its normalisations folded, where the other net has fewer; null where folding leaves it no nearer to that one. */
export async function foldedAs(map: LayerMap, other: LayerMap): Promise<EditedMap | null> {
  const [own, theirs] = [normsOf(map), normsOf(other)];
  if (theirs >= own) return null;
  const { foldBatchNorm } = await import('../transforms/fold-batchnorm.js');
  const { map: folded, change } = await foldBatchNorm(map);
  const left = normsOf(folded);
  if (Math.abs(left - theirs) >= own - theirs) return null;
  const message = `the file has ${theirs} of the ${own} batch normalisations of the source: for its layers and weights, ${own - left} were folded into the layers before them`;
  return { map: folded, original: map, comparable: map, shown: new Map(), changes: [{ ...change, message }], prelude: null };
}

function normsOf({ layers }: LayerMap): number {
  return layers.filter(({ op }) => op === 'BatchNormalization').length;
}
