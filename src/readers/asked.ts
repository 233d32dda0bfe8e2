/** Options that say what a file does not: which formats have them, and whether they said anything about the file at hand. */
import { ModelError, throwAll } from '../errors.js';
import { listed } from '../words.js';
import type { Reader, ReadOptions, SourceOption } from './reader.js';

/** How the command line spells them, and what they are about. */
const SPELT: Readonly<Record<Exclude<SourceOption, 'weightsKey'>, string>> = {
  prototxt: '--prototxt (the description of a Caffe net)',
  config: '--config (the configuration of a Keras model)',
  arch: '--arch (the net that bare weights are of)',
  assume: '--assume (what a file leaves open)',
  inference: '--inference (layers that act as in training)',
  inputShape: '--input-shape',
};

/** @throws ModelError 'usage' naming every option that files of the format do not have, and the formats that have it */
export function checkSourceOptions(reader: Reader, options: ReadOptions, readers: readonly Reader[], file: string): void {
  const errors = givenIn(options)
    .filter((name) => !reader.options.includes(name))
    .map((name) => {
      const those = readers.filter((other) => other.options.includes(name)).map(({ title }) => title);
      return new ModelError(
        'usage',
        name === 'weightsKey'
          ? `a weights key chooses among several sets of weights in one file, which ${reader.title} files have not; ${those.join(', ')} files may.`
          : `${SPELT[name]} means nothing for ${reader.title} files; it is for ${those.join(', ')}.`,
        { file },
      );
    });
  if (errors.length > 0) throwAll(errors, `${file}: ${reader.title} files do not have all that was asked for:`);
}

function givenIn({ prototxt, config, arch, described, assume, inference, inputShape, weightsKey }: ReadOptions): SourceOption[] {
  const given: Readonly<Record<SourceOption, boolean>> = {
    prototxt: prototxt !== undefined,
    config: config !== undefined,
    arch: (arch ?? described) !== undefined,
    assume: assume !== undefined && Object.keys(assume).length > 0,
    inference: inference === true,
    inputShape: inputShape !== undefined,
    weightsKey: weightsKey !== undefined,
  };
  return (Object.keys(given) as SourceOption[]).filter((name) => given[name]);
}

export interface Asked {
  /** The same options, which keep account of what is asked of them. */
  readonly options: ReadOptions;
  /**
   * To be called once the net is understood.
   *
   * @throws ModelError 'usage' naming options that nothing asked for: the file says itself what they say
   */
  check(file: string): void;
}

export function keptAccount(options: ReadOptions): Asked {
  const asked = new Set<PropertyKey>();
  const assumed = new Set<PropertyKey>();
  const { assume } = options;
  const watchedAssume = assume && watched(assume, assumed);
  return {
    options: watched(watchedAssume ? { ...options, assume: watchedAssume } : options, asked),
    check(file) {
      const unasked = (['config', 'prototxt', 'inputShape', 'inference'] as const).filter((name) => givenIn(options).includes(name) && !asked.has(name));
      const spelt = unasked.map((name) => SPELT[name]);
      if ((options.arch ?? options.described) !== undefined && !asked.has('arch') && !asked.has('described')) spelt.push(SPELT.arch);
      const names = Object.keys(assume ?? {}).filter((name) => !assumed.has(name));
      const errors = spelt.map(
        (option) => new ModelError('usage', `${option} says nothing that this file leaves open: it says itself how its net is wired.`, { file }),
      );
      if (names.length > 0) {
        const given = listed(names.map((name) => `${name}=...`));
        errors.push(new ModelError('usage', `--assume ${given} says nothing about this net, which leaves nothing of that name open.`, { file }));
      }
      if (errors.length > 0) throwAll(errors, `${file}: not all that was asked for says something about this model:`);
    },
  };
}

/** The same object, which notes what is read of it; who lists its keys has read them all. */
function watched<T extends object>(object: T, seen: Set<PropertyKey>): T {
  return new Proxy(object, {
    get(target, key) {
      seen.add(key);
      return Reflect.get(target, key);
    },
    ownKeys(target) {
      const keys = Reflect.ownKeys(target);
      for (const key of keys) seen.add(key);
      return keys;
    },
  });
}
