/** What names stand for while a program is followed: numbers, lists and objects as Python has them, and tensors as values of the graph. */
import type { PickleObject } from '../../containers/pickle/index.js';
import { ModelError } from '../../errors.js';
import type { Value } from '../../model/builder.js';
import { isFloatDType } from '../../model/dtype.js';

/** A whole number is a plain one; this is Python's float. */
export class Real {
  constructor(readonly value: number) {}
}

/** Of a list: a program may append to it in loops. */
export const MAX_LENGTH = 100_000;

export class List {
  constructor(readonly items: Item[]) {}
}

export class Tuple {
  constructor(
    readonly items: readonly Item[],
    /** Of a named one. */
    readonly fields: readonly string[] | null = null,
  ) {}
}

/** A module, or an instance of a class of TorchScript, as the pickle has it. */
export class ObjectItem {
  constructor(
    readonly object: PickleObject,
    /** Names of attributes that lead to it, joined by dots; '' for the whole net. */
    readonly path: string,
  ) {}
}

/** A dotted name that is called: 'torch.relu', '__torch__.torch.nn.functional.relu'. */
export class Callable {
  constructor(readonly path: string) {}
}

/** A method of an object. */
export class Method {
  constructor(
    readonly self: ObjectItem,
    readonly name: string,
  ) {}
}

/** Something that has no effect on what is computed: a device, a memory format, what a warning says. */
export class Opaque {
  constructor(readonly what: string) {}
}

/** What an operator would have made that is not translated: whatever it flows into is not known either. */
export class Unknown {}

/** A result that cannot be said, or is not made where nothing reads it: an obstacle, or layers, only where something does. */
export class Untold {
  #made: Item | undefined;

  constructor(
    readonly obstacle: string,
    readonly make: (() => Item) | null = null,
  ) {}

  /** @throws ModelError 'unsupported' */
  told(): Item {
    if (!this.make) throw new ModelError('unsupported', this.obstacle);
    this.#made ??= this.make();
    return this.#made;
  }
}

export type Item =
  | null
  | boolean
  | number
  | string
  | Real
  | List
  | Tuple
  | Map<Item, Item>
  | ObjectItem
  | Callable
  | Method
  | TensorItem
  | ComplexItem
  | Opaque
  | Unknown
  | Untold;

/** What of a tensor a change leaves as it was: some of it; nothing; or all of it, when the same change is made again. */
export type Change = 'part' | 'whole' | 'settled';

/** A change goes through all that a part is a part of; real ones are a few. */
const MAX_VIEWS = 200;

/** How a tensor is part of another one, so that what is written into one shows in the other. */
export interface View {
  readonly of: TensorItem;
  get(whole: Value): Value;
  /** The whole with this part in its place; null where a copy may have been made, and nobody can tell what a change would reach. */
  readonly put: ((whole: Value, part: Value) => Value) | null;
}

/**
 * A tensor that a program may change in place.
 *
 * The graph's values never change; what changes is which value the tensor stands for. A view reads its part anew once the whole has
 * changed, and puts what is written into it back into the whole.
 */
export class TensorItem {
  #value: Value;
  #isRead = false;
  readonly #depth: number;
  /** How often it has been changed. */
  #version = 0;
  /** The whole's version that the value is a part of. */
  #seen: number;
  #torn: string | null = null;

  constructor(
    value: Value,
    readonly view: View | null = null,
    /** Whether its elements are known to lie in memory in the order of its axes. */
    readonly isRowMajor = false,
    /** Its name, where the program keeps it from one run to the next. */
    private kept: string | null = null,
  ) {
    this.#value = value;
    this.#seen = view ? view.of.#refreshed() : 0;
    this.#depth = view ? view.of.#depth + 1 : 0;
    if (this.#depth > MAX_VIEWS) throw new ModelError('unsafe', `parts of parts of a tensor go more than ${MAX_VIEWS} deep, which those of no net do`);
  }

  /** @throws ModelError 'unsupported' where it may share its memory with a tensor that was changed in place, or not */
  get value(): Value {
    this.#isRead = true;
    return this.unread;
  }

  /** The same for whoever looks at its shape and dtype only. */
  get unread(): Value {
    this.#refreshed();
    if (this.#torn !== null) throw new ModelError('unsupported', this.#torn);
    return this.#value;
  }

  /**
   * Changes it in place.
   *
   * @throws ModelError 'unsupported' where a later run would find another value in it than this one does
   */
  write(value: Value, change: Change = 'part'): void {
    this.#change(change);
    this.#refreshed();
    this.#value = value;
    this.#version++;
    if (!this.view) return;
    const { of, put } = this.view;
    if (put) of.write(put(of.value, value));
    else of.#tearWhole();
    this.#seen = of.#refreshed();
  }

  #change(change: Change): void {
    if (this.kept === null || change === 'settled') return;
    if (change === 'part' || this.#isRead)
      throw new ModelError('unsupported', `the program changes its tensor "${this.kept}" while it runs: what it gives depends on what it was given before`);
    this.kept = null;
  }

  #tear(): void {
    this.#torn = 'a tensor is read after it was changed in place through another one that may or may not share its memory';
    this.#version++;
  }

  /** With all that it is a part of; their other parts find out when they are read. */
  #tearWhole(): void {
    if (this.view) this.view.of.#tearWhole();
    this.#change('part');
    this.#tear();
  }

  #refreshed(): number {
    if (this.view) {
      const { of, get, put } = this.view;
      const version = of.#refreshed();
      if (version !== this.#seen) {
        this.#seen = version;
        this.#version++;
        if (put && of.#torn === null) this.#value = get(of.#value);
        else this.#tear();
      }
    }
    return this.#version;
  }
}

/** A tensor of complex numbers, as the rules have it: two of real ones. */
export class ComplexItem {
  readonly #seen: Value | null;

  constructor(
    readonly re: Value,
    readonly im: Value,
    /** The tensor whose memory it shares. */
    readonly of: TensorItem | null = null,
  ) {
    this.#seen = of?.unread ?? null;
  }

  /** @throws ModelError 'unsupported' where the tensor that it is a view of was changed in place since */
  parts(): { readonly re: Value; readonly im: Value } {
    if (this.of && this.of.unread !== this.#seen)
      throw new ModelError('unsupported', 'complex numbers are read after the tensor was changed in place that they are a view of');
    return this;
  }
}

/** The one number of a tensor without axes that is known before anything runs; null for any other. */
export function knownScalar(item: Item): number | Real | boolean | null {
  if (typeof item === 'number' || typeof item === 'boolean' || item instanceof Real) return item;
  if (!(item instanceof TensorItem)) return null;
  const { elements, shape, dtype } = item.value;
  const [element] = elements ?? [];
  if (shape?.length !== 0 || typeof element !== 'number') return null;
  if (dtype === 'bool') return element !== 0;
  return dtype !== null && isFloatDType(dtype) ? new Real(element) : element;
}

export function numberOf(scalar: number | Real | boolean): number {
  return scalar instanceof Real ? scalar.value : Number(scalar);
}

/** For messages. */
export function typeName(item: Item): string {
  if (item === null) return 'None';
  if (typeof item === 'boolean') return 'bool';
  if (typeof item === 'number') return 'int';
  if (typeof item === 'string') return 'str';
  if (item instanceof Real) return 'float';
  if (item instanceof List) return 'a list';
  if (item instanceof Tuple) return 'a tuple';
  if (item instanceof Map) return 'a dictionary';
  if (item instanceof TensorItem) return 'a tensor';
  if (item instanceof ComplexItem) return 'a tensor of complex numbers';
  if (item instanceof ObjectItem) return `an object of ${item.object.type.path.slice(0, 100)}`;
  if (item instanceof Opaque) return item.what;
  return 'a function';
}
