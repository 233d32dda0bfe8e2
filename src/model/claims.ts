/**
 * What a written file says of how its weights were made, where they are not its source's, each rounded: a later verification then knows that the two
 * cannot be compared one by one, and says on whose word. It proves nothing, and excuses nothing of what the file computes.
 */

/** Under which a written file has them, with spaces between several. */
export const CLAIMS_KEY = 'weighbridge.weights';

export type Claim = keyof typeof CLAIMED;

const CLAIMED = {
  folded: 'normalisations were folded into weights',
  'low-rank': 'layers became two of lower rank each',
  'even-channels': 'channels were brought to one range',
  split: 'layers were split by output channels',
  'worked-out': 'codes were worked out on inputs',
  'in-codes': 'it computes in codes',
} as const;

/** A clause for each. */
export function describeClaims(claims: readonly Claim[]): string {
  return claims.map((claim) => CLAIMED[claim]).join(', and ');
}

/** Those that are known, of what a file says; none where it says nothing. */
export function claimsIn(said: unknown): Claim[] {
  const words = typeof said === 'string' ? said.split(' ') : [];
  return (Object.keys(CLAIMED) as Claim[]).filter((claim) => words.includes(claim));
}

/** What the parts of a layer that was split by output channels are called: the first keeps its name. */
export function partName(name: string, part: number): string {
  return part === 0 ? name : `${name}/part${part + 1}`;
}
