/** The line that installs the runtimes, as whoever reads it would have to type it. */

/** Install scripts are left out: that of onnxruntime-node downloads CUDA libraries on Linux, which nothing here needs, and hangs where it cannot. */
const PACKAGE = '--ignore-scripts weighbridge-engines';

/** For a package by its name, where it is none of those that `weighbridge-engines` brings. */
export function installLine(other?: string): string {
  return lineFor(import.meta.url, other ?? PACKAGE, hasManifest);
}

/**
 * @param url of a file of ours, wherever it was installed
 * @param isProject whether a folder has a package.json
 */
export function lineFor(url: string, packages: string, isProject: (folder: string) => boolean): string {
  const place = decodeURI(url);
  if (place.includes('/_npx/')) return `npx -y -p weighbridge ${packages.replace(/(\S+)$/, '-p $1')} weighbridge ...`;
  if (place.includes('/node_modules/.pnpm/')) return `pnpm add ${packages}`;
  const [, above] = /^(.*?\/)node_modules\//.exec(place) ?? [];
  // A clone, or a page whose bundler wants the packages beside it.
  if (above === undefined || isProject(above)) return `npm install ${packages}`;
  return `npm install -g ${packages}`;
}

function hasManifest(folder: string): boolean {
  const fs = typeof process === 'undefined' ? undefined : process.getBuiltinModule?.('node:fs');
  // Where nobody can look: global folders are called so by npm.
  return fs ? fs.existsSync(new URL('package.json', folder)) : !/\/(lib|npm|nodejs)\/$/.test(folder);
}
