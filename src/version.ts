/** The tool's version, recorded in every file it writes; a test holds it equal to package.json's. */
export const VERSION = '0.1.0';
