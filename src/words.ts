/** What messages say alike. */

/** Names in one line: "a, b and 5 more". Nobody reads more of them, and a stranger's name may be a book. */
export function listed(names: Iterable<string>, most = 8): string {
  const all = [...names];
  return `${all.slice(0, most).map(clipped).join(', ')}${all.length > most ? ` and ${all.length - most} more` : ''}`;
}

/** Of a search for the largest whose results are in no order that is said (`sorted=False`). */
export const IN_FALLING_ORDER =
  'it gives the largest in no order that is said (sorted is false): here they are in falling order, which the framework may not keep to';

/** "1 layer", "2 layers". */
export function counted(count: number, what: string): string {
  return `${count} ${plural(count, what)}`;
}

/** The word alone, where the number is written in another way. */
export function plural(count: number, what: string): string {
  return count === 1 ? what : `${what}s`;
}

const LONGEST = 120;

export function clipped(name: string): string {
  return name.length > LONGEST ? `${name.slice(0, LONGEST)}...` : name;
}

/** An operator, and of a node that was not understood why it was not. */
export function operatorInWords({ op, foreign }: { readonly op: string; readonly foreign?: { readonly reason: string } | undefined }): string {
  return foreign ? `the operator ${op}, which is kept as it came (${clipped(foreign.reason)}),` : `the operator ${op}`;
}

/** Why an input was left out of a comparison. */
export const TOO_SENSITIVE_THERE = 'the net is so sensitive there that rounding decides';

/** How the sentence ends that tells of a difference which a runtime's optimisations make. */
export const RUNTIMES_FAULT = "the fault is the runtime's, not the file's";
