/** What a way of combining values leaves as they are. */
export const NEUTRAL: Readonly<Record<string, number>> = { add: 0, mul: 1, max: Number.NEGATIVE_INFINITY, min: Number.POSITIVE_INFINITY };
