/** Protobuf's text format: every spelling that its specification has, and clear errors for the rest. */

import { describe, expect, it } from 'vitest';
import { parsePrototext, type TextMessage } from '../../src/containers/prototext.js';
import { isModelError } from '../../src/errors.js';
import { expectCpuSeconds } from '../speed.js';

/** Fields as [name, text or fields]. */
type Plain = [string, string | Plain[]][];
const plain = ({ fields }: TextMessage): Plain => fields.map(({ name, value }) => [name, value.kind === 'message' ? plain(value) : value.text]) as Plain;
const parse = (text: string) => plain(parsePrototext(text, 'x.prototxt'));

describe('the text format', () => {
  it.each([
    [
      'a: 1 b: -2',
      [
        ['a', '1'],
        ['b', '-2'],
      ],
    ],
    ['a: - 2', [['a', '-2']]],
    [
      'a:1;b:2,c:3',
      [
        ['a', '1'],
        ['b', '2'],
        ['c', '3'],
      ],
    ],
    [
      'a: 0x1F b: 017 c: 1.5f d: .5 e: 2. f: 1e-5 g: 3F h: -inf',
      'a b c d e f g h'.split(' ').map((name, i) => [name, ['0x1F', '017', '1.5f', '.5', '2.', '1e-5', '3F', '-inf'][i]]),
    ],
    ['a { b: 1 }', [['a', [['b', '1']]]]],
    ['a: { b: 1 }', [['a', [['b', '1']]]]],
    ['a < b: 1 >', [['a', [['b', '1']]]]],
    ['a: < b < c: 1 > >', [['a', [['b', [['c', '1']]]]]]],
    [
      'a: [1, 2, -3]',
      [
        ['a', '1'],
        ['a', '2'],
        ['a', '-3'],
      ],
    ],
    ['a: []', []],
    [
      'a [ { b: 1 }, < c: 2 > ]',
      [
        ['a', [['b', '1']]],
        ['a', [['c', '2']]],
      ],
    ],
    [
      'a: ["x" "y", "z"]',
      [
        ['a', 'xy'],
        ['a', 'z'],
      ],
    ],
    [`a: "one " 'two' # three\n "four"`, [['a', 'one twofour']]],
    [
      `a: 'it"s' b: "it's"`,
      [
        ['a', 'it"s'],
        ['b', "it's"],
      ],
    ],
    [String.raw`a: "\a\b\f\n\r\t\v\\\'\"\?"`, [['a', '\x07\b\f\n\r\t\v\\\'"?']]],
    [
      String.raw`a: "\101\x42\7" b: "\303\251\xc3\xa9\u00e9\U0001F600"`,
      [
        ['a', 'AB\x07'],
        ['b', 'ééé😀'],
      ],
    ],
    ['# only a comment', []],
    [
      'a: true # and on\r\n# more\nb: VALUE',
      [
        ['a', 'true'],
        ['b', 'VALUE'],
      ],
    ],
    ['[some.extension/x] { a: 1 }', [['[some.extension/x]', [['a', '1']]]]],
    ['\ufeffa: 1', [['a', '1']]],
  ] as [string, Plain][])('%j', (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });

  it('counts lines through strings, comments and every kind of break', () => {
    const { fields } = parsePrototext('a: 1\r\n# x\n\n b: "x"\nc { d: 2 }', 'x');
    expect(fields.map(({ name, line }) => [name, line])).toEqual([
      ['a', 1],
      ['b', 4],
      ['c', 5],
    ]);
  });

  it.each([
    ['a', /line 1: the file ends where ":" or "\{"/],
    ['a:', /the file ends where a value/],
    ['a: }', /"}" stands where a value/],
    ['a 1', /where ":" or "\{" was expected/],
    ['a { b: 1', /the file ends where "}"/],
    ['a < b: 1 }', /"}" stands where the name of a field/],
    ['}', /where the name of a field/],
    ['a: [1 2]', /"2" stands where "," or "\]"/],
    ['a: [1, ]', /"\]" stands where a value/],
    ['\n\na: "open', /line 3: a string does not end on its line/],
    ['a: "two\nlines"', /line 1: a string does not end/],
    [String.raw`a: "\q"`, /no escape of the text format/],
    [String.raw`a: "\x"`, /no escape/],
    ['a: 1.2.3', /no part of a prototxt/],
    ['a: 12ab', /no part of a prototxt/],
    ['a: 0x', /no part of a prototxt/],
    ['a: $', /no part of a prototxt/],
    ['a: 1;;', /";" stands where the name of a field/],
    ['a: --1', /"-" stands where a value/],
  ])('%j is refused', (text, words) => {
    expect(() => parse(text)).toThrow(words);
  });

  it.each([
    ['messages in messages', 'a { '.repeat(100_000)],
    ['fields', 'a: 1 '.repeat(300_000)],
    ['values of a list', `a: [${'1,'.repeat(300_000)}1]`],
    ['blank lines and comments', '#\n \n'.repeat(1_000_000)],
    ['brackets', '['.repeat(1_000_000)],
    ['one string of escapes', `a: "${'\\n'.repeat(1_000_000)}"`],
    ['strings that are one', `a: ${'"x" '.repeat(500_000)}`],
  ])('many %s end soon', (_, text) => {
    const start = process.cpuUsage();
    try {
      parsePrototext(text, 'x');
    } catch (error) {
      expect(isModelError(error), String(error)).toBe(true);
    }
    const { user, system } = process.cpuUsage(start);
    expectCpuSeconds((user + system) / 1e6, 5);
  });
});
