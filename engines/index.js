/** What Weighbridge asks for where the runtimes are not beside it: it can only see what is beside this file. */

/** @param {string} name a package or a module of one */
export const load = (name) => import(name);

/** @param {string} name @returns {string} its address */
export const resolve = (name) => import.meta.resolve(name);
