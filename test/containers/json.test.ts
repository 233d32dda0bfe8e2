/** JSON is looked at before it is parsed. */
import { describe, expect, it } from 'vitest';
import { checkJson } from '../../src/containers/json.js';

describe('JSON', () => {
  it('of any sense passes, and so does what is none: parsing it tells', () => {
    for (const text of ['', '{', '"', '"\\', '[1, {"a": [[]]}]', ']]]]', `"${'['.repeat(10_000)}"`, `["\\"${'{'.repeat(10_000)}"]`]) checkJson(text, 'x.json');
  });

  it('may be nested 512 deep and no deeper', () => {
    checkJson('['.repeat(512) + ']'.repeat(512), 'x.json');
    expect(() => checkJson('['.repeat(513), 'x.json')).toThrow(/x\.json, byte 512: .*nested/);
    expect(() => checkJson('{"a":'.repeat(513), 'x.json')).toThrow(/nested/);
    checkJson('[]'.repeat(1000), 'x.json');
  });

  it('may have a million values and no more', () => {
    checkJson(`[${'0,'.repeat(900_000)}0]`, 'x.json');
    expect(() => checkJson(`[${'0,'.repeat(1_000_000)}0]`, 'x.json')).toThrow(/values/);
    expect(() => checkJson('[]'.repeat(1_000_001), 'x.json')).toThrow(/values/);
    checkJson(`"${','.repeat(2_000_000)}"`, 'x.json');
  });
});
