export interface Net {
  readonly title: string;
  /** A case of the corpus, or a file of the folder of trained nets. */
  readonly corpus?: string;
  readonly trained?: string;
}
export const NETS: readonly Net[];
export const FEWEST: number;
export const SAME_WEIGHTS: Readonly<Record<string, string>>;
export const UNTRAINED: Readonly<Record<string, string>>;
export const SEARCH: string;
export const SEARCH_BY_SIZE: string;
export const WAYS: readonly { readonly title: string }[];
