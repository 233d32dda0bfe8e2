/** Weights that the net works out from those of the state dict (`model/derivations.ts`), as a module in Python works them out. */

import type { Tensor } from '../../model/tensor.js';
import { isStateName } from './python.js';

/** A function by the name of its derivation: its parameters are the parts in their order, then the settings by name. */
export const DERIVED: Readonly<Record<string, { readonly function: string; readonly source: string }>> = {
  'pair-bias': helper('pair_bias(table, side)', [
    '"""What each pair of places in a window adds, from a table of their differences."""',
    'y, x = torch.arange(side * side) // side, torch.arange(side * side) % side',
    'rows = (y[:, None] - y + side - 1) * (2 * side - 1) + x[:, None] - x + side - 1',
    'return table[rows].permute(2, 0, 1)',
  ]),
  'class-pair-bias': helper('class_pair_bias(table, side)', [
    '"""What each pair of places adds, with a class before them."""',
    'y, x = torch.arange(side * side) // side, torch.arange(side * side) % side',
    'rows = F.pad((y[:, None] - y + side - 1) * (2 * side - 1) + x[:, None] - x + side - 1, (1, 0, 1, 0))',
    'rows[0], rows[:, 0] = len(table) - 3, len(table) - 2',
    'rows[0, 0] = len(table) - 1',
    'return table[rows].permute(2, 0, 1)',
  ]),
  'distance-bias': helper('distance_bias(table, side, stride)', [
    '"""What each pair of places adds by how far they lie apart; every few places one asks."""',
    'y, x = torch.arange(side * side) // side, torch.arange(side * side) % side',
    'asking = (y % stride == 0) & (x % stride == 0)',
    'return table[:, (y[asking, None] - y).abs() * side + (x[asking, None] - x).abs()]',
  ]),
  standardised: helper('standardised(kernel, gain=None, *, epsilon, factor=1)', [
    '"""Kernels with a mean of 0 and a variance of 1 for each channel that they make."""',
    'flat = kernel.flatten(1)',
    'made = ((flat - flat.mean(1, keepdim=True)) / torch.sqrt(flat.var(1, keepdim=True, correction=0) + epsilon)).view_as(kernel) * factor',
    'return made if gain is None else made * gain',
  ]),
  'unit-rows': helper('unit_rows(matrix)', ['return F.normalize(matrix, dim=1, eps=1e-12)']),
  'from-logarithms': helper('from_logarithms(logits, limit)', ['return logits.clamp(max=limit).exp()']),
  'learned-pair-bias': helper('learned_pair_bias(first, bias, second, places=None, *, window, farthest)', [
    '"""What each pair of places adds, from a small net over their differences."""',
    'side = 2 * window - 1',
    'if places is None:',
    '    far = torch.arange(1 - window, window) * 8 / max(farthest - 1, 1)',
    '    spread = torch.sign(far) * torch.log2(far.abs() + 1) / 3',
    '    places = torch.stack([spread.repeat_interleave(side), spread.repeat(side)], 1)',
    'table = 16 * torch.sigmoid(F.linear(F.relu(F.linear(places.reshape(-1, 2).to(bias), first, bias)), second))',
    'y, x = torch.arange(window * window) // window, torch.arange(window * window) % window',
    'return table[(y[:, None] - y + window - 1) * side + x[:, None] - x + window - 1].permute(2, 0, 1)',
  ]),
  'query-value-bias': helper('query_value_bias(queries, values)', ['return torch.cat([queries, torch.zeros_like(queries), values])']),
  'without-keys': helper('without_keys(bias)', ['queries, keys, values = bias.chunk(3)', 'return torch.cat([queries, torch.zeros_like(keys), values])']),
  places: helper('places(kernel, bias, height, width)', [
    '"""Where each place is, as sines and cosines of its height and width, and a dense layer over them."""',
    'half = kernel.shape[1] // 2',
    'slow = 10000 ** (2 * (torch.arange(half) // 2) / half)',
    'def waves(size):',
    '    angles = (torch.arange(1, size + 1)[:, None] / (size + 1e-6) * 2 * torch.pi) / slow',
    '    return torch.where(torch.arange(half) % 2 == 0, angles.sin(), angles.cos())',
    'rows, columns = waves(height)[:, None].expand(-1, width, -1), waves(width)[None].expand(height, -1, -1)',
    'return F.conv2d(torch.cat([rows, columns], 2).permute(2, 0, 1)[None].to(kernel), kernel, bias)',
  ]),
  joined: helper('joined(*parts)', ['return torch.cat(parts)']),
  rows: helper('rows(weight, start, end)', ['return weight[start:end]']),
  'roll-mask': helper('roll_mask(side, height, width, down, right)', [
    '"""Keeps places apart that only a roll brought into one window."""',
    'def regions(size, shift):',
    '    at = torch.arange(size)',
    '    return torch.full((size,), 2) if shift == 0 else (at >= size - side).int() + (at >= size - shift).int()',
    'region = 3 * regions(height, down)[:, None] + regions(width, right)',
    'cut = region.view(height // side, side, width // side, side).transpose(1, 2).reshape(-1, side * side)',
    'return torch.where(cut[:, None, :] == cut[:, :, None], 0.0, -100.0)[:, None]',
  ]),
};

function helper(signature: string, body: readonly string[]): { readonly function: string; readonly source: string } {
  return { function: signature.slice(0, signature.indexOf('(')), source: [`def ${signature}:`, ...body.map((line) => `    ${line}`)].join('\n') };
}

/** What of a state dict a weight is worked out from, as the net's own class does; null where the state dict has the weight itself. */
export function partsOf({ derived }: Tensor): readonly Tensor[] | null {
  if (!derived || !Object.hasOwn(DERIVED, derived.by)) return null;
  const parts = derived.from.map((part) => (part.derived ? partsOf(part) : isStateName(part.name) ? [part] : null));
  return parts.every((part) => part !== null) ? parts.flat() : null;
}
