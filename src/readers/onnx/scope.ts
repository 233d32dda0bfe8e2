/** What names mean while an ONNX graph is translated: values of the graph, of graphs around it, and a function's attributes. */
import type { OnnxValue, ReadNode, Reference } from '../../containers/onnx.js';
import { ModelError } from '../../errors.js';
import type { Value } from '../../model/builder.js';

export class Scope {
  readonly #values = new Map<string, Value>();

  /**
   * @param outer the graph around this one, whose values it may read
   * @param opsets versions of the operator sets, by domain
   * @param attributes those of the function whose nodes these are; null in none
   * @param prefix of the names of nodes and values that become part of the graph around
   */
  constructor(
    readonly outer: Scope | null,
    readonly opsets: ReadonlyMap<string, number>,
    readonly attributes: ReadonlyMap<string, OnnxValue> | null = null,
    readonly prefix = '',
  ) {}

  set(name: string, value: Value): void {
    if (name !== '') this.#values.set(name, value);
  }

  /** Whether it is a value of this very graph. */
  holds(name: string): boolean {
    return this.#values.has(name);
  }

  find(name: string): Value | undefined {
    return this.#values.get(name) ?? this.outer?.find(name);
  }

  /** @throws ModelError 'malformed' where no earlier node makes it */
  get(name: string, node: ReadNode): Value {
    const value = this.find(name);
    if (!value) throw new ModelError('malformed', `reads "${name}", which no earlier node makes`, { layer: nodeTitle(node) });
    return value;
  }

  /** Depth of functions and branches, which a file may nest without end. */
  get depth(): number {
    return this.outer ? this.outer.depth + 1 : 0;
  }

  /** Version of the operator set that a node belongs to; ai.onnx is the domain without a name. Files before IR version 3 are of the first. */
  opsetOf(domain: string): number {
    return this.opsets.get(domain) ?? (isOnnxDomain(domain) ? (this.opsets.get('') ?? this.opsets.get('ai.onnx') ?? 1) : 1);
  }

  /**
   * A node's attributes, with those of the function where it refers to them; one that the function was not given is absent.
   *
   * @throws ModelError 'malformed' where it refers to one and stands in no function
   */
  attributesOf(node: ReadNode): ReadonlyMap<string, OnnxValue> {
    if (![...node.attributes.values()].some(isReference)) return node.attributes;
    const resolved = new Map<string, OnnxValue>();
    for (const [name, value] of node.attributes) {
      if (isReference(value) && !this.attributes) {
        throw new ModelError('malformed', `its ${name} is to be the ${JSON.stringify(value.reference)} of a function, and it stands in none`, {
          layer: nodeTitle(node),
        });
      }
      const found = isReference(value) ? this.attributes?.get(value.reference) : value;
      if (found !== undefined) resolved.set(name, found);
    }
    return resolved;
  }
}

function isReference(value: OnnxValue): value is Reference {
  return typeof value === 'object' && 'reference' in value;
}

export function isOnnxDomain(domain: string): boolean {
  return domain === '' || domain === 'ai.onnx';
}

/** A node that has no name is known by the value that it makes. */
export function nodeTitle({ name, outputs, op }: ReadNode): string {
  return name || outputs.find((output) => output !== '') || op;
}
