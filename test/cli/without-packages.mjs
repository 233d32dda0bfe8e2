/** For `node --import`: packages named in WEIGHBRIDGE_TEST_WITHOUT, separated by commas, are not found, as if they were not installed. */
import Module, { register } from 'node:module';

const hook = `
  const absent = new Set((process.env.WEIGHBRIDGE_TEST_WITHOUT ?? '').split(','));
  export async function resolve(specifier, context, next) {
    if (!absent.has(specifier)) return next(specifier, context);
    throw Object.assign(new Error("Cannot find package '" + specifier + "'"), { code: 'ERR_MODULE_NOT_FOUND' });
  }`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

// Scripts are required.
const absent = new Set((process.env.WEIGHBRIDGE_TEST_WITHOUT ?? '').split(','));
const resolveFilename = Module._resolveFilename;
Module._resolveFilename = function (specifier, ...rest) {
  if (absent.has(specifier)) throw Object.assign(new Error(`Cannot find module '${specifier}'`), { code: 'MODULE_NOT_FOUND' });
  return resolveFilename.call(this, specifier, ...rest);
};
