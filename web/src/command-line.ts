/** The command that does what the page did. */
import type { ConvertOptions } from '../../src/convert.js';
import type { GivenModel } from './jobs.js';

/** What was chosen; `step` makes it `shrink`, which always verifies. */
export interface Asked extends ConvertOptions {
  readonly step?: number;
}

/** @param output as it would be called beside the source */
export function convertCommand({ label, options }: GivenModel, output: string, asked: Asked, verify: boolean, golden: string | null): string {
  const flags: (string | false | undefined)[] = [
    ...sourceFlags(options),
    // An extension says which format is meant.
    asked.to && !output.includes('.') && `--to ${asked.to}`,
    asked.dtype && `--dtype ${asked.dtype}`,
    asked.step !== undefined && `--step ${asked.step} --compress gzip`,
    asked.layout && asked.layout !== 'source' && `--layout ${asked.layout}`,
    asked.names === 'canonical' && '--names canonical',
    asked.foldBatchnorm && '--fold-batchnorm',
    asked.embedPreprocessing && '--embed-preprocessing',
    asked.float16Compute && '--float16-compute',
    golden !== null && `--golden ${quote(golden)}`,
    !verify && asked.step === undefined && '--no-verify',
  ];
  return [`npx weighbridge ${asked.step === undefined ? 'convert' : 'shrink'}`, quote(label), '-o', quote(output), ...flags.filter(Boolean)].join(' ');
}

export function diffCommand(a: GivenModel, b: GivenModel): string {
  return ['npx weighbridge diff', quote(a.label), quote(b.label), ...sourceFlags(a.options)].join(' ');
}

function sourceFlags({ prototxt, config, arch, assume, inputShape, weightsKey, inference }: GivenModel['options']): string[] {
  return [
    ...(prototxt ? [`--prototxt ${quote(prototxt)}`] : []),
    ...(config ? [`--config ${quote(config)}`] : []),
    ...(arch ? [`--arch ${quote(arch)}`] : []),
    ...Object.entries(assume ?? {}).map(([name, value]) => `--assume ${quote(`${name}=${value}`)}`),
    ...(inputShape ? [`--input-shape ${inputShape.join(',')}`] : []),
    ...(weightsKey ? [`--weights-key ${quote(weightsKey)}`] : []),
    ...(inference ? ['--inference'] : []),
  ];
}

function quote(text: string): string {
  return /^[\w./+=,:@%-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
