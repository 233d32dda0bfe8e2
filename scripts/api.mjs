/**
 * `docs/api.md` from the types and their comments, so that it says what the compiler says.
 *
 *     node scripts/api.mjs          prints it
 *     npm run docs                  writes it
 */
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url)).replaceAll('\\', '/');

/** What programs import, in the order in which most of them need it. */
const ENTRIES = [
  ['weighbridge/node', 'src/node/index.ts'],
  ['weighbridge', 'src/index.ts'],
  ['weighbridge/verify', 'src/verification.ts'],
  ['weighbridge/layers', 'src/layers.ts'],
];

const HEAD = `# The library

Made by \`npm run docs\` from the types. \`weighbridge/node\` works on paths and is all that a program on Node needs; \`weighbridge\` works on
\`FileSet\`s and \`ByteSink\`s, in a page too; \`weighbridge/verify\` runs models; \`weighbridge/layers\` has the operators, for who changes
layer maps.

\`\`\`js
import { convertFile, inspectFile, verifyFiles } from 'weighbridge/node';

console.log((await inspectFile('model.h5')).architecture?.name);
const { report } = await convertFile('model.h5', 'model.onnx', {
  golden: 'recorded.npz',
  signal: AbortSignal.timeout(600_000),
  onProgress: ({ phase, done, total }) => console.error(phase, done, total),
});
if (report?.verdict !== 'match') throw new Error(\`\${report?.verdict}\`);
console.log((await verifyFiles('model.onnx', 'other.onnx')).verdict);
\`\`\`

Everything that goes wrong with a model is a \`ModelError\` (\`isModelError(error)\`), whose \`kind\` and \`place\` are fields and whose message names
options as they are called here. Work that its \`signal\` stops is rejected with the signal's reason, once files are closed and what was
written is removed. That two files do not match is no error, but what the report says.
`;

/** @returns {{ text: string, options: ReadonlySet<string> }} the page, and the names of all options of \`weighbridge/node\` */
export function describeApi() {
  const config = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile).config;
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: ENTRIES.map(([, file]) => file) }, ts.sys, root);
  const program = ts.createProgram(
    ENTRIES.map(([, file]) => root + file),
    options,
  );
  const checker = program.getTypeChecker();
  const own = (symbol) => symbol.declarations?.every((node) => node.getSourceFile().fileName.startsWith(`${root}src/`));
  const exported = new Map();
  for (const [entry, file] of ENTRIES) {
    const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(root + file)));
    exported.set(
      entry,
      symbols.map((symbol) => [symbol.name, symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol]),
    );
  }
  const optionNames = new Set();
  const sections = [HEAD];
  for (const [entry, symbols] of exported) {
    sections.push(`## \`${entry}\`\n`);
    // What works on whole files first, then the other functions, then types.
    const rank = ([name, { flags }]) => (flags & ts.SymbolFlags.Function ? (/Files?$/.test(name) ? 0 : 1) : 2);
    for (const [name, symbol] of [...symbols].sort((a, b) => rank(a) - rank(b))) {
      sections.push(describe(name, symbol));
      if (entry !== 'weighbridge/node' || !name.endsWith('Options')) continue;
      for (const property of checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))) optionNames.add(property.name);
    }
  }
  return { text: `${sections.join('\n').trimEnd()}\n`, options: optionNames };

  function describe(name, symbol) {
    const [node] = symbol.declarations;
    const lines = [`### ${name}\n`];
    if (ts.isFunctionDeclaration(node)) {
      const signatures = symbol.declarations.map((declaration) => signatureOf(name, declaration));
      lines.push(`\`\`\`ts\n${signatures.join('\n')}\n\`\`\`\n`);
    } else if (ts.isTypeAliasDeclaration(node)) {
      lines.push(`\`\`\`ts\ntype ${name} = ${flat(node.type.getText())}\n\`\`\`\n`);
    } else if (ts.isVariableDeclaration(node)) {
      lines.push(`\`\`\`ts\nconst ${name}: ${node.type ? flat(node.type.getText()) : typeText(checker.getTypeOfSymbol(symbol), node)}\n\`\`\`\n`);
    }
    const said = commentOf(symbol);
    if (said) lines.push(`${said}\n`);
    if (ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node)) lines.push(membersOf(symbol, node));
    return lines.join('\n');
  }

  function signatureOf(name, declaration) {
    const generics = declaration.typeParameters ? `<${declaration.typeParameters.map((each) => flat(each.getText())).join(', ')}>` : '';
    const parameters = declaration.parameters.map((each) => {
      const optional = each.questionToken || each.initializer ? '?' : '';
      const called = ts.isIdentifier(each.name) ? each.name.text : 'options';
      return `${called}${optional}: ${each.type ? flat(each.type.getText()) : typeText(checker.getTypeAtLocation(each), each)}`;
    });
    return `function ${name}${generics}(${parameters.join(', ')}): ${flat(declaration.type?.getText() ?? 'void')}`;
  }

  function membersOf(symbol, node) {
    const rows = checker
      .getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))
      .filter((member) => own(member) && !member.name.startsWith('__'))
      .map((member) => {
        const declaration = member.declarations[0];
        const optional = member.flags & ts.SymbolFlags.Optional ? '?' : '';
        const type =
          ts.isMethodSignature(declaration) || ts.isMethodDeclaration(declaration) ? methodText(declaration) : propertyText(member, declaration, node);
        return `| \`${member.name}${optional}\` | ${code(type)} | ${cell(commentOf(member))} |`;
      });
    return rows.length === 0 ? '' : `| | | |\n|---|---|---|\n${rows.join('\n')}\n`;
  }

  function methodText(declaration) {
    const parameters = declaration.parameters.map(
      (each) => `${each.name.getText()}${each.questionToken ? '?' : ''}: ${flat(each.type?.getText() ?? 'unknown')}`,
    );
    return `(${parameters.join(', ')}) => ${flat(declaration.type?.getText() ?? 'void')}`;
  }

  function propertyText(member, declaration, node) {
    return declaration.type ? flat(declaration.type.getText()) : typeText(checker.getTypeOfSymbolAtLocation(member, node), node);
  }

  function typeText(type, node) {
    return flat(checker.typeToString(type, node, ts.TypeFormatFlags.NoTruncation));
  }

  function commentOf(symbol) {
    const said = linkless(ts.displayPartsToString(symbol.getDocumentationComment(checker))).trim();
    const tags = symbol.getJsDocTags(checker).flatMap(({ name, text }) => {
      const words = linkless(ts.displayPartsToString(text)).trim().replace(/^-\s*/, '');
      if (name === 'throws') return [`Throws ${words}`];
      if (name === 'returns') return [`Returns ${words}`];
      if (name === 'param') return [`\`${words.split(' ')[0]}\`: ${words.slice(words.indexOf(' ') + 1)}`];
      return [];
    });
    return [said, ...tags].filter(Boolean).join('\n\n');
  }
}

function flat(text) {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\s+/g, ' ')
    .replace(/^\| /, '')
    .replace(/\breadonly (?=\w+\??:)/g, '')
    .trim();
}

function linkless(text) {
  return text.replace(/\{@link (\S+?)\}/g, '`$1`');
}

/** In a table a bar ends the cell, even within code. */
function code(text) {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

function cell(text) {
  return text.replace(/\n+/g, ' ').replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(describeApi().text);
