/** Names of the engines that there are anywhere; `weighbridge engines` says which can run here. */
export type EngineName =
  | 'ort-cpu'
  | 'ort-wasm'
  | 'ort-webgpu'
  | 'ort-cuda'
  | 'tfjs-wasm'
  | 'tfjs-cpu'
  | 'tfjs-webgpu'
  | 'tfjs-node'
  | 'tfjs-node-gpu'
  | 'opencv'
  | 'evaluator'
  | 'reference'
  | 'recorded';
