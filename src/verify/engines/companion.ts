/**
 * Runtimes that are not beside this package but beside `weighbridge-engines`, which brings them all: a global install keeps what each
 * package needs in a folder of its own. A page's bundler takes `companion.browser.ts` instead.
 */

interface Companion {
  /** `import` and `import.meta.resolve`, from where the runtimes are. */
  load(name: string): Promise<unknown>;
  resolve(name: string): string;
}

/**
 * A package of a runtime, after it was not found beside us.
 *
 * @param error what looking for it beside us ended in
 * @throws the same where it is nowhere else, and an error that says so where npm left it out of `weighbridge-engines`
 */
export async function fromCompanion<Module>(error: unknown, name: string): Promise<Module> {
  const companion = await findCompanion();
  if (!companion) throw error;
  try {
    return (await companion.load(name)) as Module;
  } catch (second) {
    if ((second as { code?: string } | null)?.code !== 'ERR_MODULE_NOT_FOUND') throw second;
    throw new Error(`npm left ${name} out of weighbridge-engines: its install script failed, or there is none for this platform`, { cause: second });
  }
}

/** Address of a package's file, beside us or beside `weighbridge-engines`. */
export async function resolvePackage(name: string): Promise<string> {
  try {
    return import.meta.resolve(name);
  } catch (error) {
    const companion = await findCompanion();
    if (!companion) throw error;
    return companion.resolve(name);
  }
}

/**
 * Packages of scripts (CommonJS), all of one place: beside us, or beside `weighbridge-engines`. Imported, each is looked through for all that it could
 * give: of TensorFlow.js's half a second, in which it would be loaded five times.
 *
 * @returns null where they are not there together, or are no scripts: then they are to be imported
 */
export async function requireScripts<Modules extends readonly unknown[]>(names: readonly string[]): Promise<Modules | null> {
  const createRequire = typeof process === 'undefined' ? null : process.getBuiltinModule?.('node:module').createRequire;
  if (!createRequire) return null;
  for (const from of [import.meta.url, await resolvePackage(COMPANION).catch(() => null)]) {
    try {
      if (from !== null) return names.map(createRequire(from)) as unknown as Modules;
    } catch {
      // Why it is not there, or no script, is told by who imports it.
    }
  }
  return null;
}

/** A name that a bundler for Node does not look for. */
const COMPANION = 'weighbridge-engines';

async function findCompanion(): Promise<Companion | null> {
  return (import(COMPANION) as Promise<Companion>).catch(() => null);
}
