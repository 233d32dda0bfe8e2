/** Maps that were read from ONNX files. */
import type { ReadModel } from '../../containers/onnx.js';
import type { LayerMap } from '../../model/layer-map.js';

/** The ONNX file that a map was read from, if it was. */
export function sourceModel({ source }: LayerMap): ReadModel | null {
  return source?.format === 'onnx' ? (source.document as ReadModel) : null;
}
