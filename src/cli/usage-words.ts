/** What commander says of a line that it does not take, in this tool's own words: which option, what was given, what is expected. */
import { didYouMean } from '../model/nearest.js';

/** @param message of a CommanderError, with or without 'error: ' in front */
export function usageWords(message: string): string {
  return message
    .trim()
    .replace(/^error: /, '')
    .replace(
      /^option '(?:-\w, )?(-[\w-]+)[^']*' argument '(.*)' is invalid\. (.*)$/s,
      (_, flag, given, why) => `${flag} ${given || '""'}: ${expected(given, why)}`,
    )
    .replace(/^command-argument value '(.*)' is invalid for argument '(.*)'\. (.*)$/s, (_, given, name, why) => `${name} "${given}": ${expected(given, why)}`)
    .replace(/^option '(?:-\w, )?(-[\w-]+)([^']*)' argument missing$/, '$1: a value is expected,$2')
    .replace(/^(?:unknown|missing required|required) \S+(?: \S+)? '.*$/s, (text) => text.replace(/^(.* )'([^']*)'/s, '$1$2'))
    .replace(/\n\(Did you mean (.*)\?\)$/s, '. Did you mean $1?');
}

/** Choices, with the one among them that may have been meant. */
function expected(given: string, why: string): string {
  const [, choices] = /^Allowed choices are (.*)\.$/s.exec(why) ?? [];
  return choices === undefined ? why : `${choices.replace(/, ([^,]*)$/, ' or $1')} is expected.${didYouMean(given, choices.split(', '))}`;
}
