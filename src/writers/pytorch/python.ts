/** Literals of Python. */

/** A Python string literal that cannot end early, whatever is in a file's names. */
export function pythonText(text: string): string {
  const escaped = [...text].map((character) => {
    const code = character.codePointAt(0)!;
    if (character === '"' || character === '\\') return `\\${character}`;
    if (code >= 32 && code < 127) return character;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  return `"${escaped.join('')}"`;
}

/** The same without its quotes, for a longer one. */
export function docText(text: string): string {
  return pythonText(text).slice(1, -1);
}

export function pythonTuple(values: readonly number[]): string {
  return `(${values.map(pythonNumber).join(', ')}${values.length === 1 ? ',' : ''})`;
}

export function pythonNumber(value: number): string {
  if (Number.isNaN(value)) return 'float("nan")';
  if (!Number.isFinite(value)) return `float("${value < 0 ? '-' : ''}inf")`;
  return String(value);
}

/** Whether a state dict can have the name as it is. */
export function isStateName(name: string): boolean {
  return /^(?!\d)[\w-]+(\.[\w-]+)*$/.test(name) && !name.split('.').some((part) => OF_MODULES.has(part));
}

/** Attributes of nn.Module itself, which neither submodules nor parameters can be called, at any level. */
export const OF_MODULES: ReadonlySet<string> = new Set(
  (
    'forward training train eval parameters modules buffers children apply type half float double bfloat16 to to_empty cuda cpu xpu ipu mtia compile ' +
    'add_module extra_repr get_buffer get_extra_state get_parameter get_submodule load_state_dict named_buffers named_children named_modules ' +
    'named_parameters register_buffer register_module register_parameter requires_grad_ set_extra_state set_submodule share_memory state_dict zero_grad ' +
    'dump_patches call_super_init T_destination'
  ).split(' '),
);
