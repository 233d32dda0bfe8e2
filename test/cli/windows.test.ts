/** What is otherwise on Windows, as far as it can be seen elsewhere: separators, drives, quotes. */
import { win32 } from 'node:path';
import { expect, it } from 'vitest';
import { checkRelativeName } from '../../src/bytes/file-set.js';
import { belowShared, stemOf } from '../../src/cli/many/outputs.js';
import { shellWords } from '../../src/cli/shell-words.js';
import { userCache } from '../../src/node/user-cache.js';

it.each([
  [['C:\\nets'], ['']],
  [
    ['C:\\nets\\a', 'C:\\nets\\b\\c', 'C:\\nets'],
    ['a', 'b\\c', ''],
  ],
  [
    ['C:\\a', 'C:\\ab'],
    ['a', 'ab'],
  ],
  [
    ['C:\\', 'C:\\nets'],
    ['', 'nets'],
  ],
  // No folder is above two drives, and no name has a colon in it.
  [
    ['C:\\nets\\a', 'D:\\b'],
    ['C\\nets\\a', 'D\\b'],
  ],
  [
    ['C:\\nets', '\\\\server\\share\\b'],
    ['C\\nets', '\\server\\share\\b'],
  ],
])('outputs of models in %j lie below the folder that these share', (folders, below) => {
  expect(belowShared(folders, win32.sep)).toEqual(below);
  for (const path of below) expect(win32.join('out', path)).toMatch(/^out(\\[^:]+)?$/);
});

it.each([
  [
    ['/nets/a', '/nets/b/c'],
    ['a', 'b/c'],
  ],
  [
    ['/nets', '/nets/x:'],
    ['', 'x:'],
  ],
  [
    ['/', '/a'],
    ['', 'a'],
  ],
])('and elsewhere, where a colon is a letter: %j', (folders, below) => expect(belowShared(folders, '/')).toEqual(below));

it('a name ends where either separator stands', () => {
  expect(['C:\\nets\\vgg16.h5', 'nets/vgg16.pth.tar', 'C:/a\\net.v2.onnx'].map(stemOf)).toEqual(['vgg16', 'vgg16', 'net.v2']);
});

it('a command to copy is in the quotes that cmd and PowerShell know', () => {
  const words = ['verify', 'C:\\my nets\\a.h5', 'C:\\nets\\a.onnx', 'C:\\out dir\\', 'it\'s "b"', '50%', '$x'];
  expect(shellWords(words, 'win32')).toBe('verify "C:\\my nets\\a.h5" C:\\nets\\a.onnx "C:\\out dir\\\\" "it\'s \\"b\\"" "50%" "$x"');
  expect(shellWords(words, 'linux')).toBe("verify 'C:\\my nets\\a.h5' 'C:\\nets\\a.onnx' 'C:\\out dir\\' 'it'\\''s \"b\"' 50% '$x'");
});

it.each(['C:\\Windows\\x', 'c:x', '\\\\server\\share\\x', '..\\x', 'a\\..\\..\\x', 'file:///c:/x'])('a name inside a model does not lead to %s', (name) => {
  expect(() => checkRelativeName(name)).toThrow(/leaves the model's folder/);
});

it("what is kept lies in the user's own folder", () => {
  expect(userCache('weighbridge', { LOCALAPPDATA: '/users/me/local' }, 'win32')).toMatch(/^\/users\/me\/local\/weighbridge\/Cache$/);
});
