/** `--arch <file>`: a document, or a few lines of text. */
import { isModelError, ModelError } from '../errors.js';
import { documentArchitecture } from './document.js';
import type { Family } from './family.js';
import { parseArchitecture } from './text.js';

/** A net's description, as the user has it. */
export interface Description {
  /** Name of the file. */
  readonly name: string;
  readonly text: string;
}

/** A document of thousands of layers. */
const MAX_CHARACTERS = 2 ** 24;
/** Ten thousand lines. */
const MAX_TEXT_CHARACTERS = 2 ** 20;

/**
 * @param under where in the file all of its weights lie
 * @throws ModelError 'malformed' naming the file, and the line or layer
 */
export function describedFamily({ name, text }: Description, under?: string): Family {
  const isDocument = /^\s*[{[]/.test(text);
  if (text.length > (isDocument ? MAX_CHARACTERS : MAX_TEXT_CHARACTERS))
    throw new ModelError('unsafe', `${text.length} characters describe no net`, { file: name });
  try {
    return isDocument ? documentArchitecture(parseJson(text), name, under) : parseArchitecture(text, name);
  } catch (error) {
    throw isModelError(error) ? error.at({ file: name }) : error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ModelError('malformed', `no JSON: ${(error as Error).message}`, {}, error);
  }
}
