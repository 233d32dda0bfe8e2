/** Reads a message and keeps account: a field that nobody asked for must be known to be without effect, or it is told. */
import { listed } from '../../words.js';
import { type Message, messagesOf, type Scalar } from './message.js';
import { isIdle } from './schema.js';

export class Params {
  readonly #asked = new Set<string>();
  readonly #idle = new Set<string>();
  readonly #children = new Map<string, readonly Params[]>();
  readonly #message: Message | null;

  /** Several messages of one field are one, as protobuf merges them. */
  constructor(...messages: readonly Message[]) {
    const [first] = messages;
    this.#message = first ? { ...first, fields: messages.flatMap(({ fields }) => fields) } : null;
  }

  /** Whether the message is there at all. */
  get exists(): boolean {
    return this.#message !== null;
  }

  has(name: string): boolean {
    this.#asked.add(name);
    return this.#message?.fields.some((field) => field.name === name && field.spec !== null) ?? false;
  }

  numbers(name: string): number[] {
    return this.#values(name).filter((value) => typeof value === 'number');
  }

  number(name: string, fallback: number): number {
    return this.numbers(name).at(-1) ?? fallback;
  }

  flag(name: string, fallback: boolean): boolean {
    return this.#values(name).findLast((value) => typeof value === 'boolean') ?? fallback;
  }

  /** A string, or the name of an enumeration's value. */
  word(name: string, fallback: string): string {
    return this.words(name).at(-1) ?? fallback;
  }

  words(name: string): string[] {
    return this.#values(name).filter((value) => typeof value === 'string');
  }

  /** The message of a field that holds one; what is read of it counts here, too. */
  child(name: string): Params {
    const known = this.#children.get(name)?.[0];
    if (known) return known;
    const params = new Params(...this.#messages(name));
    this.#children.set(name, [params]);
    return params;
  }

  /** The messages of a repeated field. */
  children(name: string): readonly Params[] {
    const known = this.#children.get(name);
    if (known) return known;
    const params = this.#messages(name).map((message) => new Params(message));
    this.#children.set(name, params);
    return params;
  }

  /** Takes a message for known to be without effect here; what stands in it must be known all the same. */
  leave(name: string): void {
    this.#idle.add(name);
  }

  /** Fields without a known meaning, and those that nobody asked for although they have one, with what they hold: 'pad_h 3'. */
  unaccounted(): string[] {
    const own = (this.#message?.fields ?? []).flatMap(({ name, spec, value }) => {
      if (spec === null) return [`${name}${shown(value)}`];
      if (this.#asked.has(name)) return [];
      if (typeof value === 'object') return spec.idle === true || this.#idle.has(name) ? unknownIn(value, name) : [name];
      return isIdle(spec, value) ? [] : [`${name}${shown(value)}`];
    });
    return [...own, ...[...this.#children].flatMap(([name, children]) => children.flatMap((child) => child.unaccounted().map((text) => `${name}.${text}`)))];
  }

  #values(name: string): readonly unknown[] {
    this.#asked.add(name);
    return (this.#message?.fields ?? []).filter((field) => field.name === name && field.spec !== null).map(({ value }) => value);
  }

  #messages(name: string): Message[] {
    this.#asked.add(name);
    return this.#message ? messagesOf(this.#message, name) : [];
  }
}

/** Says which settings are not known; where a binary has only their numbers, that names would tell. */
export function notKnown(settings: readonly string[]): string {
  const hint = settings.some((setting) => /field \d/.test(setting)) ? `. ${NUMBERS_ONLY}` : '';
  return `settings that are not known: ${listed(settings)}${hint}`;
}

const NUMBERS_ONLY =
  "Forks of Caffe use one number for different things, and a caffemodel has numbers only: the net's prototxt, which has names, tells which is meant. Give it with --prototxt.";

/** Fields that a message, or a message in it, is not known to have. */
export function unknownIn(message: Message, path = ''): string[] {
  return message.fields.flatMap(({ name, spec, value }) => {
    const full = path === '' ? name : `${path}.${name}`;
    if (spec === null) return [`${full}${shown(value)}`];
    return typeof value === 'object' ? unknownIn(value, full) : [];
  });
}

function shown(value: Scalar | Message): string {
  return typeof value === 'object' ? '' : ` ${String(value).slice(0, 40)}`;
}
