/** Names of classes, in the ways in which people keep them. */
import { describe, expect, it } from 'vitest';
import { labelsIn, labelsInCheckpoint, namesFrom, parseLabels } from '../../src/model/labels.js';

const NAMES = ['cat', 'dog, brown', "pig's"];

describe('a text of names', () => {
  it.each([
    ['one a line', "cat\ndog, brown\npig's\n"],
    ['with numbers, as Teachable Machine writes them', "0 cat\r\n1 dog, brown\r\n2 pig's\r\n"],
    ['a list in JSON', JSON.stringify(NAMES)],
    ['names by number', JSON.stringify({ 2: "pig's", 0: 'cat', 1: 'dog, brown' })],
    ['numbers by name', JSON.stringify({ "pig's": 2, cat: 0, 'dog, brown': 1 })],
    ['with WordNet numbers', JSON.stringify({ 0: ['n1', 'cat'], 1: ['n2', 'dog, brown'], 2: ['n3', "pig's"] })],
    ['in a document that says so', JSON.stringify({ modelName: 'tm', labels: NAMES })],
    ['in the configuration of transformers', JSON.stringify({ model_type: 'vit', id2label: { 0: 'cat', 1: 'dog, brown', 2: "pig's" } })],
  ])('%s', (_, text) => {
    expect(parseLabels(text)).toEqual(NAMES);
  });

  it.each([
    ['numbers that do not count', '5 cat\n7 dog', ['5 cat', '7 dog']],
    ['numbers that are not all', JSON.stringify({ 0: 'cat', 2: 'dog' }), null],
    ['two names for one number', JSON.stringify({ cat: 0, dog: 0 }), null],
    ['no names', '', null],
    ['text in UTF-16', new TextDecoder().decode(Uint8Array.of(0xff, 0xfe, 0x61, 0, 0x62, 0, 10, 0, 0x63, 0)), null],
    ['the bytes of an archive', 'PK\x03\x04\nx', null],
    ['no JSON', '{cat', null],
    ['a list of numbers', '[1, 2]', null],
  ])('%s', (_, text, names) => {
    expect(parseLabels(text)).toEqual(names);
  });
});

it('metadata has them under many keys, and in the spelling of Python', () => {
  expect(labelsIn({ author: 'x', names: "{0: 'cat', 1: 'dog, brown', 2: \"pig's\"}" }, 'metadata')).toEqual({ names: NAMES, from: 'metadata (names)' });
  expect(labelsIn({ classes: 'cat, dog' }, 'metadata')!.names).toEqual(['cat', 'dog']);
  expect(labelsIn({ classes: '3', names: 'x' }, 'metadata')).toBeNull();
});

it('checkpoints keep them beside the weights', () => {
  const classes = new Map([
    ['dog', 1],
    ['cat', 0],
  ]);
  expect(labelsInCheckpoint(new Map<string, unknown>([['class_to_idx', classes]]))).toEqual({ names: ['cat', 'dog'], from: 'class_to_idx of the checkpoint' });
  const meta = new Map([['CLASSES', ['cat', 'dog']]]);
  expect(labelsInCheckpoint(new Map<string, unknown>([['meta', meta]]))!.from).toBe('meta.CLASSES of the checkpoint');
  expect(labelsInCheckpoint(new Map([['epoch', 3]]))).toBeNull();
  expect(namesFrom(null)).toBeNull();
});
