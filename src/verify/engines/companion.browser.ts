/** In a page there are the packages that its bundler found, and no others. */

export async function fromCompanion<Module>(error: unknown, _name: string): Promise<Module> {
  throw error;
}

export async function resolvePackage(name: string): Promise<string> {
  return import.meta.resolve(name);
}

export async function requireScripts(): Promise<null> {
  return null;
}
