/** Functions and classes that a written module needs where torch has no single call; each stands in the module once. */

const lines = (...text: readonly string[]) => text.join('\n');

export const HELPERS: Readonly<Record<string, string>> = {
  BatchNorm: lines(
    'class BatchNorm(nn.Module):',
    '    """Batch normalisation of any number of axes."""',
    '',
    '    def __init__(self, channels, eps):',
    '        super().__init__()',
    '        self.eps = eps',
    '        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))',
    '        self.register_buffer("running_mean", torch.zeros(channels))',
    '        self.register_buffer("running_var", torch.ones(channels))',
    '',
    '    def forward(self, x):',
    '        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps)',
  ),
  whole: lines(
    'def whole(sizes):',
    '    """Whole numbers that are worked out on the way."""',
    '    return tuple(int(size) for size in sizes.flatten().tolist()) if isinstance(sizes, torch.Tensor) else tuple(sizes)',
  ),
  reshaped: lines(
    'def reshaped(x, sizes):',
    '    """0 stands for the size that is there."""',
    '    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(whole(sizes))])',
  ),
  expanded: lines('def expanded(x, sizes):', '    return x.expand(torch.broadcast_shapes(x.shape, whole(sizes)))'),
  sliced: lines(
    'def sliced(x, starts, ends, axes, steps):',
    '    starts, ends = whole(starts), whole(ends)',
    '    axes = range(len(starts)) if axes is None else whole(axes)',
    '    steps = [1] * len(starts) if steps is None else whole(steps)',
    '    for start, end, axis, step in zip(starts, ends, axes, steps):',
    '        places = range(*slice(start, end, step).indices(x.shape[axis]))',
    '        x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64, device=x.device))',
    '    return x',
  ),
  padded: lines(
    'def padded(x, pads, value):',
    '    """`pads` has all that stands before each axis, then what stands behind."""',
    '    pads = whole(pads)',
    '    half = len(pads) // 2',
    '    return F.pad(x, [size for axis in reversed(range(half)) for size in (pads[axis], pads[axis + half])], value=float(value))',
  ),
  gathered: lines('def gathered(x, indices, axis):', '    return x[(slice(None),) * (axis % x.dim()) + (indices.long(),)]'),
  gathered_elements: lines(
    'def gathered_elements(x, indices, axis):',
    '    indices = indices.long()',
    '    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))',
  ),
  gathered_nd: lines(
    'def gathered_nd(x, indices, batch):',
    '    indices = indices.long()',
    '    if batch == 0:',
    '        return x[tuple(indices.movedim(-1, 0))]',
    '    rows = zip(x.flatten(0, batch - 1), indices.flatten(0, batch - 1))',
    '    return torch.stack([row[tuple(places.movedim(-1, 0))] for row, places in rows]).unflatten(0, x.shape[:batch])',
  ),
  scattered: lines(
    'def scattered(x, indices, updates, axis, reduce):',
    '    indices = indices.long()',
    '    indices = torch.where(indices < 0, indices + x.shape[axis], indices)',
    '    if reduce is None:',
    '        return x.scatter(axis, indices, updates)',
    '    return x.scatter_reduce(axis, indices, updates, reduce=reduce)',
  ),
  scattered_nd: lines(
    'def scattered_nd(x, indices, updates, accumulate):',
    '    return x.clone().index_put_(tuple(indices.long().movedim(-1, 0)), updates, accumulate=accumulate)',
  ),
  summed_up: lines(
    'def summed_up(x, axis, exclusive, reverse):',
    '    axis = int(axis)',
    '    x = x.flip(axis) if reverse else x',
    '    x = torch.cat([torch.zeros_like(x.narrow(axis, 0, 1)), x.narrow(axis, 0, x.shape[axis] - 1)], axis) if exclusive else x',
    '    x = x.cumsum(axis, dtype=x.dtype)',
    '    return x.flip(axis) if reverse else x',
  ),
  product: lines(
    'def product(x, axes, keepdim):',
    '    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):',
    '        x = x.prod(axis, keepdim=keepdim, dtype=x.dtype)',
    '    return x',
  ),
  largest: lines(
    'def largest(x, k, axis, descending):',
    '    """The first k in their order; of equal ones that which stands first."""',
    '    values, places = torch.sort(x, dim=axis, descending=descending, stable=True)',
    '    return values.narrow(axis, 0, int(k)), places.narrow(axis, 0, int(k))',
  ),
  last_place: lines(
    'def last_place(choose, x, axis, keepdim):',
    '    """Of equal elements the last."""',
    '    return x.shape[axis] - 1 - choose(x.flip(axis), dim=axis, keepdim=keepdim)',
  ),
  one_hot: lines(
    'def one_hot(indices, depth, values, axis):',
    '    """Numbers below zero count from the end; those beyond stand for none."""',
    '    places = torch.arange(int(depth), device=indices.device)',
    '    hot = (indices.unsqueeze(-1) == places) | (indices.unsqueeze(-1) + int(depth) == places)',
    '    return torch.where(hot, values[1], values[0]).movedim(-1, axis)',
  ),
  eye_like: lines(
    'def eye_like(x, k, dtype):',
    '    rows, columns = (torch.arange(size, device=x.device) for size in x.shape)',
    '    return (rows[:, None] + k == columns).to(x.dtype if dtype is None else dtype)',
  ),
  per_axis: lines(
    'def per_axis(numbers, x, axis):',
    '    """One for all, or one for each place along an axis."""',
    '    return numbers if numbers.numel() == 1 else numbers.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])',
  ),
  quantised: lines(
    'def quantised(x, scale, zero, axis, dtype):',
    '    codes = torch.round(x / per_axis(scale, x, axis))',
    '    codes = codes if zero is None else codes + per_axis(zero, x, axis).to(codes.dtype)',
    '    return codes.clamp(torch.iinfo(dtype).min, torch.iinfo(dtype).max).to(dtype)',
  ),
  dequantised: lines(
    'def dequantised(codes, scale, zero, axis):',
    '    x = codes.to(scale.dtype)',
    '    x = x if zero is None else x - per_axis(zero, x, axis).to(scale.dtype)',
    '    return x * per_axis(scale, x, axis)',
  ),
  resized: lines(
    'def resized(x, sizes, **how):',
    '    sizes = whole(sizes)',
    '    if sizes[:2] != tuple(x.shape[:2]):',
    '        raise ValueError(f"a value of {tuple(x.shape)} cannot become {sizes}: its pictures are resized, not what is before them")',
    '    return F.interpolate(x, size=sizes[2:], **how)',
  ),
  squeezed: lines(
    'def squeezed(x, axes):',
    '    for axis in sorted((axis % x.dim() for axis in whole(axes)), reverse=True):',
    '        x = x.squeeze(axis)',
    '    return x',
  ),
  unsqueezed: lines(
    'def unsqueezed(x, axes):',
    '    axes = whole(axes)',
    '    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):',
    '        x = x.unsqueeze(axis)',
    '    return x',
  ),
  all_axes: lines('def all_axes(x):', '    return tuple(range(x.dim()))'),
};

/** Helpers that others call. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  reshaped: ['whole'],
  expanded: ['whole'],
  sliced: ['whole'],
  padded: ['whole'],
  resized: ['whole'],
  squeezed: ['whole'],
  unsqueezed: ['whole'],
  quantised: ['per_axis'],
  dequantised: ['per_axis'],
};

/** The helpers of that name, with those that they call before them. */
export function helpersFor(name: string): readonly string[] {
  return [...(NEEDS[name] ?? []), name];
}
