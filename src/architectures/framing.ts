/** How published nets' authors bring pictures of any size to that of the net. */
import type { Framing } from '../model/preparation.js';
import type { Ecosystem } from './store.js';

/** Share of the resized picture's shorter side that is kept, where a net has no entry of its own. */
const KEPT = 0.875;

/**
 * Where torchvision's own transforms of a net's first weights differ from that: pixels of the shorter side, and the filter where it is
 * bicubic. Weights do not tell which of a net's releases they are; those of later ones (IMAGENET1K_V2) were judged at 232 of 224.
 *
 * @see https://github.com/pytorch/vision/tree/main/torchvision/models, `transforms=partial(ImageClassification, ...)`
 */
const TORCHVISION: Readonly<Record<string, readonly [shorter: number, filter?: 'bicubic']>> = {
  convnext_tiny: [236],
  convnext_small: [230],
  convnext_base: [232],
  convnext_large: [232],
  efficientnet_b0: [256, 'bicubic'],
  efficientnet_b1: [256, 'bicubic'],
  efficientnet_b2: [288, 'bicubic'],
  efficientnet_b3: [320, 'bicubic'],
  efficientnet_b4: [384, 'bicubic'],
  efficientnet_b5: [456, 'bicubic'],
  efficientnet_b6: [528, 'bicubic'],
  efficientnet_b7: [600, 'bicubic'],
  efficientnet_v2_s: [384],
  efficientnet_v2_m: [480],
  efficientnet_v2_l: [480, 'bicubic'],
  maxvit_t: [224, 'bicubic'],
  mnasnet0_75: [232],
  mnasnet1_3: [232],
  resnext101_64x4d: [232],
  shufflenet_v2_x1_5: [232],
  shufflenet_v2_x2_0: [232],
  swin_t: [232, 'bicubic'],
  swin_s: [246, 'bicubic'],
  swin_b: [238, 'bicubic'],
  swin_v2_t: [260, 'bicubic'],
  swin_v2_s: [260, 'bicubic'],
  swin_v2_b: [272, 'bicubic'],
  vit_l_16: [242],
};

/**
 * What is usual.
 *
 * @param side of the pictures that the net was made for
 * @param published name of the net, where it is of a published size
 */
export function framingOf(ecosystem: Ecosystem, side: number, published?: string): Framing {
  const any = { antialias: true, crop: side };
  // keras.utils.load_img(path, target_size=...), as the page of keras.applications uses it.
  if (ecosystem === 'keras') return { ...any, resize: 'stretch', filter: 'nearest' };
  const [shorter, filter] = (ecosystem === 'torchvision' && published !== undefined && TORCHVISION[published]) || [Math.round(side / KEPT)];
  return { ...any, resize: shorter, filter: filter ?? 'bilinear' };
}
