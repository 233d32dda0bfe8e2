/** What the page's fields are called, by the options that they give; messages speak of the command's flags, and the page of its fields. */
export const FIELDS = {
  arch: 'Architecture',
  assume: 'Assumptions',
  inputShape: 'Input shape',
  weightsKey: 'Key of the weights',
  to: 'To',
  dtype: 'Weights in',
  layout: 'Axes of pictures',
  foldBatchnorm: 'Fold batch normalisation',
  embedPreprocessing: 'Have the net prepare its pictures itself',
  names: 'Canonical names and layouts',
  layers: 'Compare layer by layer',
  golden: 'Recorded outputs of the original framework',
  noVerify: 'Prove that it predicts the same',
} as const;

/** Boxes that stand for a flag with this value. */
const TICKED: Readonly<Record<string, string>> = { names: ' canonical' };

/** A message as the page says it: “Input shape” 1,3,224,224 for --input-shape 1,3,224,224. Of what has no field it says whose option it is. */
export function inPageWords(message: string): string {
  let isOfCommand = false;
  const said = message.replace(/(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)( canonical)?/g, (all, flag: string, value = '') => {
    const name = flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    if (Object.hasOwn(FIELDS, name)) return `“${FIELDS[name as keyof typeof FIELDS]}”${value === TICKED[name] ? '' : value}`;
    isOfCommand = true;
    return all;
  });
  return isOfCommand ? `${said} (What begins with -- is an option of the command.)` : said;
}
