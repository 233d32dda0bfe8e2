/** The page's style, a constant, so that the page's policy can name it by its hash. */
export const STYLE = `
:root {
  --page: #f6f6f3; --card: #ffffff; --ink: #1c1f24; --soft: #5d646e; --line: #dedfdb; --stripe: #f3f3ef;
  --good: #1a7a4c; --good-soft: #e3f3ea; --bad: #b3261e; --bad-soft: #fbe9e7; --source: #3f73b8; --source-soft: #c9daf0; --written: #c96a12;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1d2025; --ink: #e7e8ea; --soft: #9ba2ac; --line: #343840; --stripe: #22262c;
    --good: #58c48c; --good-soft: #173427; --bad: #ff8a80; --bad-soft: #401c1a; --source: #7fb0f0; --source-soft: #2a405f; --written: #f2a35a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1060px; margin: 0 auto; padding: 24px 16px 48px; }
header, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 22px; margin-bottom: 16px; min-width: 0; }
header { border-left: 6px solid; }
header.good { border-left-color: var(--good); }
header.bad { border-left-color: var(--bad); }
header p { margin: 6px 0 0; color: var(--soft); }
.verdict { font-size: 13px; font-weight: 700; letter-spacing: .06em; text-transform: uppercase; margin: 0 0 4px; }
header.good .verdict { color: var(--good); }
header.bad .verdict { color: var(--bad); }
h1 { font-size: 22px; line-height: 1.3; margin: 0; font-weight: 650; overflow-wrap: anywhere; }
h1 .arrow { color: var(--soft); font-weight: 400; }
h2 { font-size: 17px; margin: 0 0 10px; }
h3 { font-size: 14px; margin: 18px 0 6px; }
p { margin: 0 0 10px; max-width: 78ch; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, "SFMono-Regular", "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
small { display: block; color: var(--soft); font-size: 12.5px; line-height: 1.4; }
.trouble { border-color: var(--bad); background: var(--bad-soft); }
.trouble p:last-child, section > p:last-child { margin-bottom: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 14px 28px; margin: 0; }
.facts > div { min-width: 0; }
.facts .wide { grid-column: 1 / -1; }
dt { color: var(--soft); font-size: 12.5px; }
dd { margin: 0; overflow-wrap: anywhere; }
.note { color: var(--soft); border-left: 3px solid var(--line); padding-left: 10px; margin: 10px 0 0; }
.note.bad { border-left-color: var(--bad); }
.scroll { overflow-x: auto; max-width: 100%; background: linear-gradient(to right, var(--card) 40%, transparent) left / 36px 100% local no-repeat, linear-gradient(to left, var(--card) 40%, transparent) right / 36px 100% local no-repeat, linear-gradient(to right, var(--line), transparent) left / 14px 100% no-repeat, linear-gradient(to left, var(--line), transparent) right / 14px 100% no-repeat; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
.scroll > table { min-width: 100%; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: 12.5px; white-space: nowrap; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; }
tbody tr:last-child td { border-bottom: 0; }
.n { text-align: right; white-space: nowrap; }
.shape { white-space: nowrap; color: var(--soft); }
.badge { display: inline-block; font-size: 12px; font-weight: 600; padding: 0 8px; border-radius: 9px; line-height: 18px; white-space: nowrap; }
.badge.good { color: var(--good); background: var(--good-soft); }
.badge.bad { color: var(--bad); background: var(--bad-soft); }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--soft); }
details[open] > summary { margin-bottom: 8px; }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--soft); font-size: 12.5px; }
.plot svg { display: block; }
.plot text { font-size: 11px; fill: var(--soft); }
.plot text.tick { text-anchor: end; }
.plot text.layer { text-anchor: end; }
.plot text.layer.bad { fill: var(--bad); font-weight: 600; }
.plot text.tolerance { text-anchor: end; fill: var(--written); font-weight: 600; }
.plot .grid { stroke: var(--line); }
.plot .axis { stroke: var(--soft); }
.plot line.tolerance { stroke: var(--written); stroke-dasharray: 6 4; stroke-width: 1.5; }
.plot .pareto { fill: none; stroke: var(--source); opacity: .45; }
.stem line { stroke: var(--source); stroke-width: 2; opacity: .45; }
.stem circle { fill: var(--source); }
.stem.bad line { stroke: var(--bad); }
.stem.bad circle { fill: var(--bad); }
.pixels { image-rendering: pixelated; display: block; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 14px; }
.samples article { display: flex; gap: 16px; border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; min-width: 0; }
.samples article.bad { border-color: var(--bad); }
.samples h3 { margin: 0 0 6px; font-weight: 500; font-size: 12.5px; color: var(--soft); }
.samples img { border-radius: 4px; margin-bottom: 6px; }
.rankings { flex: 1; min-width: 0; }
.rankings table { width: 100%; table-layout: fixed; font-size: 13px; }
.rankings th, .rankings td { padding: 2px 8px 3px 0; border-bottom: 0; }
.rankings td.n:not(:last-child) { padding-right: 22px; }
.rankings caption { text-align: left; color: var(--soft); font-size: 12.5px; overflow: hidden; text-overflow: ellipsis; }
td.class { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
td.class.bad { color: var(--bad); font-weight: 600; }
.bar { display: block; margin-left: auto; background: var(--stripe); border-radius: 2px; max-width: 100%; }
.bar rect { fill: var(--source); }
.mosaics { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 16px; }
.mosaics figcaption { margin-bottom: 6px; }
.mosaics img { max-width: 100%; height: auto; }
.histograms { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 18px 22px; }
.histograms figcaption { overflow-wrap: anywhere; margin-bottom: 4px; }
.histograms figcaption b { color: var(--ink); font-weight: 600; }
.histograms svg { display: block; width: 100%; height: 56px; border-bottom: 1px solid var(--soft); }
.histograms path.source { fill: var(--source-soft); }
.histograms path.written { fill: none; stroke: var(--written); stroke-width: 1.4; vector-effect: non-scaling-stroke; }
.range { display: flex; justify-content: space-between; color: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.key { display: inline-block; width: 14px; height: 10px; border-radius: 2px; }
.key.source { background: var(--source-soft); }
.key.written { background: linear-gradient(var(--card) 60%, var(--written) 60%); }
footer { color: var(--soft); font-size: 12.5px; text-align: center; }
@media (max-width: 560px) {
  main { padding: 10px 8px 32px; }
  header, section { padding: 14px; }
  .samples article { flex-direction: column; gap: 8px; }
  .histograms { grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 14px; }
  h1 { font-size: 19px; }
}
@media print {
  :root { color-scheme: light; }
  body { background: none; font-size: 13px; }
  main { max-width: none; padding: 0; }
  header, article, figure, tr { break-inside: avoid-page; }
  h2, h3 { break-after: avoid-page; }
  .scroll { overflow: visible; background: none; }
  .plot svg { max-width: 100%; height: auto; }
  table { font-size: 11px; }
  .scroll th, .scroll td { padding-right: 8px; white-space: normal; overflow-wrap: anywhere; }
  details::details-content { content-visibility: visible; }
  .key, .bar, .badge { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
