/** The package has no types of its own. */
declare module 'numpy-parser' {
  export function fromArrayBuffer(buffer: ArrayBuffer): { readonly data: ArrayBufferView; readonly shape: readonly number[] };
}
