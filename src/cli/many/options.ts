/** What commands that take several models say of them; small, because it is loaded for one model as well. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ModelError } from '../../errors.js';
import { checkOneOrigin } from '../../node/remote/location.js';
import type { CommonFlags } from '../options.js';
import { isPattern } from './expand.js';

export interface ManyFlags extends CommonFlags {
  readonly jobs?: number;
  readonly failFast?: boolean;
}

/** Options that are about several models together, and are not passed on to the process of each. */
export const MANY_OPTIONS: readonly string[] = ['jobs', 'fail-fast'];

export function addManyOptions(command: Command): Command {
  return command
    .optionsGroup('Several models:')
    .addOption(new Option('--jobs <count>', 'several models: how many at a time; as many as cores and memory allow when left out').argParser(parseJobs))
    .addOption(new Option('--fail-fast', 'several models: begin no other one after the first that fails'));
}

function parseJobs(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 256) throw new InvalidArgumentError('a number of jobs is expected, from 1 to 256.');
  return count;
}

/** Whether several models are meant: more than one is named, or a pattern is. @throws ModelError 'usage' where an option is about one alone */
export function areSeveral(models: readonly string[], { sha256, tokenEnv }: { readonly sha256?: string; readonly tokenEnv?: string } = {}): boolean {
  const several = models.length > 1 || models.some(isPattern);
  if (several && sha256 !== undefined) throw new ModelError('usage', '--sha256 is of one file, and several models are named');
  checkOneOrigin(models, tokenEnv);
  return several;
}
