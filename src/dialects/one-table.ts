/** Tables of rules as one. @throws Error where two have a rule of one name, of which the later would win without a word */
export function oneTable<Rule>(...tables: readonly Readonly<Record<string, Rule>>[]): Readonly<Record<string, Rule>> {
  const all: Record<string, Rule> = Object.create(null);
  for (const table of tables) {
    for (const [name, rule] of Object.entries(table)) {
      if (name in all) throw new Error(`there are two rules for ${name}`);
      all[name] = rule;
    }
  }
  return all;
}
