/** What is done to a picture before a net sees it. */

/** y = (x - mean) * scale, x from 0 to 255: for each channel in the order that the net reads, or one number for all. */
export interface Preparation {
  /** Of the channels that the net reads; a picture itself has its red first. */
  readonly order: 'RGB' | 'BGR';
  readonly mean: readonly number[];
  readonly scale: readonly number[];
  /** Where a whole picture is taken off instead of the mean: the file that holds it, which is not the model's. */
  readonly meanFile?: string;
  /** Who says so: 'usual for VGG', 'layer "data" of the net', '--preprocess'. */
  readonly from: string;
  /** How pictures of any size come to that of the net, where it is known. */
  readonly framing?: Framing;
}

/** How a picture of any size comes to the size that a net takes. */
export interface Framing {
  /** Pixels that its shorter side is brought to, before the middle is cut out; 'stretch': each side is brought to the net's own. */
  readonly resize: number | 'stretch';
  readonly filter: 'nearest' | 'bilinear' | 'bicubic';
  /** Whether all pixels count where a picture is made smaller, as in PIL, or those beside each point alone, as in OpenCV and TensorFlow. */
  readonly antialias: boolean;
  /** Side of what is cut out, for a net that takes pictures of any size. */
  readonly crop?: number;
}

/** What a user says of it; what is left out is as it is known. */
export interface GivenPreparation {
  readonly values: Preparation | null;
  readonly framing: Partial<Framing>;
}

/** For nets that take pictures as they are. */
export function rawPreparation(from: string, framing?: Framing): Preparation {
  return { order: 'RGB', mean: [0], scale: [1], from, ...(framing ? { framing } : {}) };
}
