/** Whether a written weight is stored as its source has it, so that nothing can have been lost. */
import { type NarrowForm, narrowForm } from '../../model/narrow-form.js';
import type { Tensor } from '../../model/tensor.js';
import type { WeightQuantisation, WrittenWeight } from './written.js';

/** The same scale in float32, which files have it in. */
const ROUNDING = 2 ** -22;

/** Whether the weight is in the narrow form that the source has it in: the same float, or codes with the same steps. */
export function isAsItWas(source: Tensor, { tensor, quantisation }: WrittenWeight): boolean {
  const form = narrowForm(source);
  if (!form || (form.codes !== null) !== (quantisation !== undefined)) return false;
  if (!form.codes || !quantisation) return tensor.dtype === form.stored.dtype;
  const [before, after] = [stepsOf(form.codes), stepsOf(quantisation)];
  const count = Math.max(before.length, after.length);
  if (before.length !== count && before.length !== 1) return false;
  const at = (steps: ArrayLike<number>, i: number) => steps[steps.length === 1 ? 0 : i]!;
  for (let i = 0; i < count; i++) if (!(Math.abs(at(before, i) - at(after, i)) <= ROUNDING * Math.abs(at(before, i)))) return false;
  const [zeros, others] = [zerosOf(form.codes), zerosOf(quantisation)];
  if (form.codes.kind === 'affine' || quantisation.kind === 'affine') return true;
  if ((form.codes.kind === 'palette') !== (quantisation.kind === 'palette')) return false;
  for (let i = 0; i < count; i++) if (at(zeros, i) !== at(others, i)) return false;
  return true;
}

function zerosOf(codes: NonNullable<NarrowForm['codes']> | WeightQuantisation): ArrayLike<number> {
  return (codes.kind === 'affine' || codes.kind === 'palette' ? undefined : codes.zeroPoints) ?? [0];
}

function stepsOf(codes: NonNullable<NarrowForm['codes']> | WeightQuantisation): ArrayLike<number> {
  return codes.kind === 'affine' ? [codes.scale] : codes.kind === 'palette' ? codes.table : codes.scales;
}
