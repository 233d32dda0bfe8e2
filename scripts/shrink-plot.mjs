/** The table of docs/shrink.md as a picture: for each net, what each way takes on the wire against what it costs. */
const KINDS = [
  ['float16', '#6b7280', /^float16/],
  ['int8', '#2563eb', /^int8/],
  ['int4', '#ef4444', /^int4/],
  ['palette of 16', '#0d9488', /^palette/],
  ['low rank', '#a16207', /^rank/],
  ['steps', '#d97706', /^steps/],
  ['method best', '#16a34a', /^method best/],
  ['computing in 8 bits', '#db2777', /^computing/],
  ['search', '#7c3aed', /^search/],
  ['other', '#0891b2', /./],
];
const [WIDTH, HEIGHT, TOP] = [400, 250, 72];
const BOX = { left: 52, right: 14, top: 30, bottom: 40 };

/** @param lines of the table, net and way first, the wire's size fourth and the error last */
export function plotOf(lines) {
  const nets = new Map();
  for (const line of lines.slice(2)) {
    const [, net, way, , wire, , , , error] = line.split('|').map((cell) => cell.trim());
    if (way === 'as it is' || !(Number(error) > 0)) continue;
    nets.set(net, [...(nets.get(net) ?? []), { way, size: Number.parseFloat(wire), error: Number(error) }]);
  }
  const panels = [...nets].map(
    ([net, points], i) => `<g transform="translate(${(i % 2) * WIDTH} ${TOP + Math.floor(i / 2) * HEIGHT})">${panel(net, points)}</g>`,
  );
  const height = TOP + Math.ceil(nets.size / 2) * HEIGHT;
  const used = KINDS.filter((kind) => [...nets.values()].flat().some(({ way }) => kindOf(way) === kind));
  const legend = used.map(
    ([name, colour], i) =>
      `<g transform="translate(${52 + (i % 4) * 180} ${16 + Math.floor(i / 4) * 20})"><circle r="5" fill="${colour}"/><text x="10" y="4">${name}</text></g>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * WIDTH} ${height}" role="img" aria-label="Size on the wire against the largest error, of each net and way">
<style>text{font:12px system-ui,sans-serif;fill:#374151}.net{font-weight:600}.axis{stroke:#9ca3af;fill:none}@media(prefers-color-scheme:dark){text{fill:#d1d5db}}</style>
${legend.join('\n')}
${panels.join('\n')}
</svg>
`;
}

const kindOf = (way) => KINDS.find(([, , pattern]) => pattern.test(way));

function panel(net, points) {
  const x = scale(
    points.map(({ size }) => size),
    BOX.left,
    WIDTH - BOX.right,
  );
  const y = scale(
    points.map(({ error }) => error),
    HEIGHT - BOX.bottom,
    BOX.top,
  );
  const steps = points.filter(({ way }) => way.startsWith('steps')).map(({ size, error }) => `${x(size)},${y(error)}`);
  const dots = points.map(
    ({ way, size, error }) =>
      `<circle cx="${x(size)}" cy="${y(error)}" r="5" fill="${kindOf(way)[1]}"><title>${way}: ${size} kB, error ${error}</title></circle>`,
  );
  const ends = (values) => [Math.min(...values), Math.max(...values)];
  const sizes = ends(points.map(({ size }) => size)).map((size) => `<text x="${x(size)}" y="${HEIGHT - BOX.bottom + 16}" text-anchor="middle">${size}</text>`);
  const errors = ends(points.map(({ error }) => error)).map(
    (error) => `<text x="${BOX.left - 8}" y="${y(error) + 4}" text-anchor="end">${error < 0.001 ? error.toExponential(0) : error.toPrecision(1)}</text>`,
  );
  return [
    `<text class="net" x="${BOX.left}" y="18">${net}</text>`,
    `<path class="axis" d="M${BOX.left} ${BOX.top - 6}V${HEIGHT - BOX.bottom}H${WIDTH - BOX.right}"/>`,
    `<polyline points="${steps.join(' ')}" fill="none" stroke="${KINDS.find(([name]) => name === 'steps')[1]}" stroke-opacity="0.5"/>`,
    ...dots,
    ...sizes,
    ...errors,
    `<text x="${(WIDTH + BOX.left) / 2}" y="${HEIGHT - 8}" text-anchor="middle">kB on the wire, against the largest error of scale</text>`,
  ].join('');
}

/** By orders of magnitude, with room at both ends. */
function scale(values, from, to) {
  const logs = values.map(Math.log10);
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const room = 0.08 * (high - low || 1);
  return (value) => Math.round(from + ((Math.log10(value) - low + room) / (high - low + 2 * room)) * (to - from));
}
