/** Files of torch.export, written by the schema in the three layouts that PyTorch has had. */
import { strToU8, zipSync } from 'fflate';
import { memoryFileSet } from '../src/bytes/file-set.js';
import { TensorKeeper, type Weights } from './pickles.js';

export const LAYOUTS = ['2.1 to 2.7', '2.8', '2.9'] as const;

export interface Node {
  readonly target: string;
  /** By the names of the operator's schema, each an argument such as { as_int: 1 }. */
  readonly inputs: readonly (readonly [string, unknown, 'keyword'?])[];
  readonly outputs: readonly unknown[];
  readonly module?: string;
}

export interface Exported {
  readonly nodes: readonly Node[];
  readonly parameters: Readonly<Record<string, Weights>>;
  /** Sizes of the input "x": numbers, or symbols. */
  readonly sizes: readonly (number | string)[];
  readonly output: unknown;
}

export const tensor = (name: string) => ({ as_tensor: { name } });
export const ints = (...values: readonly number[]) => ({ as_ints: values });

const placeholderOf = (parameter: string) => `p_${parameter.replaceAll('.', '_')}`;

export function exportedDocument({ nodes, parameters, sizes, output }: Exported): object {
  const names = Object.keys(parameters);
  const meta = { dtype: 7, sizes: sizes.map((size) => (typeof size === 'number' ? { as_int: size } : { as_expr: { expr_str: size, hint: { as_int: 2 } } })) };
  return {
    graph_module: {
      graph: {
        inputs: [...names.map((name) => tensor(placeholderOf(name))), tensor('x')],
        outputs: [output],
        nodes: nodes.map(({ target, inputs, outputs, module = '' }) => ({
          target,
          inputs: inputs.map(([name, arg, kind]) => ({ name, arg, kind: kind === 'keyword' ? 2 : 1 })),
          outputs,
          metadata: { nn_module_stack: `L__self__,,Net;L__self___${module},${module},torch.nn.modules.linear.Linear` },
        })),
        tensor_values: { x: meta },
        sym_int_values: {},
        sym_bool_values: {},
      },
      signature: {
        input_specs: [
          ...names.map((name) => ({ parameter: { arg: { name: placeholderOf(name) }, parameter_name: name } })),
          { user_input: { arg: tensor('x') } },
        ],
        output_specs: [{ user_output: { arg: output } }],
      },
      module_call_graph: [],
    },
    opset_version: { aten: 10 },
    range_constraints: {},
    schema_version: { major: 8, minor: 12 },
    torch_version: '2.9.0',
  };
}

export function exportedFile(program: Exported, layout: (typeof LAYOUTS)[number] | '2.1' = '2.9', document: unknown = exportedDocument(program)) {
  return memoryFileSet({ 'net.pt2': exportedArchive(program, layout, document) }, 'net.pt2');
}

/** Its bytes. @param document a text is written as it is */
export function exportedArchive(
  program: Exported,
  layout: (typeof LAYOUTS)[number] | '2.1' = '2.9',
  document: unknown = exportedDocument(program),
  level: 0 | 9 = 0,
): Uint8Array {
  const json = strToU8(typeof document === 'string' ? document : JSON.stringify(document));
  const { parameters } = program;
  const dictionary = () => {
    const keeper = new TensorKeeper();
    return keeper.pth(new Map(Object.entries(parameters).map(([name, weights]) => [name, keeper.tensor(weights)])));
  };
  const entries = Object.entries(parameters);
  const config = entries.map(([name, { shape }], i) => {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const sizes = (list: readonly number[]) => list.map((size) => ({ as_int: size }));
    const tensor_meta = { dtype: 7, sizes: sizes(shape), strides: sizes(strides), storage_offset: { as_int: 0 } };
    return [name, { path_name: `weight_${i}`, is_param: true, use_pickle: false, tensor_meta }] as const;
  });
  const members: Record<string, Uint8Array> =
    layout === '2.1' || layout === '2.1 to 2.7'
      ? {
          version: strToU8('8.2'),
          'serialized_exported_program.json': json,
          [layout === '2.1' ? 'serialized_state_dict.json' : 'serialized_state_dict.pt']: dictionary(),
          'serialized_constants.pt': new TensorKeeper().pth(new Map()),
        }
      : {
          'net/archive_format': strToU8('pt2'),
          'net/models/model.json': json,
          ...(layout === '2.8'
            ? { 'net/data/weights/model.pt': dictionary(), 'net/data/constants/model.pt': new TensorKeeper().pth(new Map()) }
            : {
                'net/data/weights/model_weights_config.json': strToU8(JSON.stringify({ config: Object.fromEntries(config) })),
                ...Object.fromEntries(entries.map(([, { values }], i) => [`net/data/weights/weight_${i}`, new Uint8Array(Float32Array.from(values).buffer)])),
              }),
          'net/data/sample_inputs/model.pt': new TensorKeeper().pth(new Map()),
        };
  return zipSync(members, { level });
}
