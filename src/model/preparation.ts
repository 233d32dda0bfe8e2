/** What is done to a picture before a net sees it. */

/** y = (x - mean) * scale, x from 0 to 255: for each channel in the order that the net reads, or one number for all. */
export interface Preparation {
  /** Of the channels that the net reads; a picture itself has its red first. */
  readonly order: 'RGB' | 'BGR';
  readonly mean: readonly number[];
  readonly scale: readonly number[];
  /** Who says so: 'usual for VGG', 'layer "data" of the net', '--preprocess'. */
  readonly from: string;
}
