/** Types of `api.mjs` for the tests. */
export function describeApi(): { readonly text: string; readonly options: ReadonlySet<string> };
