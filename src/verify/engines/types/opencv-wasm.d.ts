/** The package ships its types as source that does not compile under strict settings; `opencv.ts` states the part that it uses. */
declare const module: unknown;
export default module;
