/** Paths of home folders, which files carry from the machine that made them. */
import { decodeLatin1 } from '../bytes/latin1.js';
import { listed } from '../words.js';
import type { Examiner } from './examiner.js';

/** Descriptions stand at the beginning or the end of a file; what lies between are weights. */
const LOOKED_AT = 2 ** 21;
const HOME = /(?:\/home\/|\/Users\/|[A-Z]:\\{1,2}Users\\{1,2})[A-Za-z][\w.-]{1,40}(?:[\\/]+[\w.-]{1,60}){1,6}/g;

export const homePaths: Examiner = {
  kind: 'text',
  match: ({ depth }) => depth === 0,
  async examine({ source, path }, audit) {
    const ends = [source.read(0, Math.min(LOOKED_AT, source.byteLength))];
    if (source.byteLength > LOOKED_AT) ends.push(source.read(Math.max(LOOKED_AT, source.byteLength - LOOKED_AT), source.byteLength));
    const found = new Set<string>();
    for (const bytes of await Promise.all(ends)) for (const [name] of decodeLatin1(bytes).matchAll(HOME)) found.add(name);
    if (found.size === 0) return;
    audit.tell('private-path', `it names ${listed(found, 3)}`, path);
  },
};
