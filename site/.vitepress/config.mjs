/** The site made of docs/: `npm run docs:site`. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';

// Pages find what they are built with in a folder above them, which docs/ has not.
const pages = fileURLToPath(new URL('../pages', import.meta.url));
rmSync(pages, { recursive: true, force: true });
cpSync(fileURLToPath(new URL('../../docs', import.meta.url)), pages, { recursive: true });

// Schemas, each under its name and under its name and version, which stays when a newer one takes the name.
const schemas = fileURLToPath(new URL('../../schemas/', import.meta.url));
const published = `${pages}/public/schemas`;
mkdirSync(published, { recursive: true });
for (const file of readdirSync(schemas)) {
  cpSync(`${schemas}${file}`, `${published}/${file}`);
  const [, id] = /"weighbridge\/([a-z-]+@\d+)"/.exec(readFileSync(`${schemas}${file}`, 'utf8')) ?? [];
  if (id) cpSync(`${schemas}${file}`, `${published}/${id}.schema.json`);
}

cpSync(fileURLToPath(new URL('../../web/public/icon.svg', import.meta.url)), `${pages}/public/icon.svg`);

const group = (text, items) => ({ text, collapsed: false, items: items.map(([title, link]) => ({ text: title, link })) });

/** Files beside docs/ that pages lead to: their place on the site is the repository. */
const OUTSIDE = /^(?:\.\.\/)+(?:schemas|README|CONTRIBUTING|SECURITY|CHANGELOG|scripts|src|test|action)/;

function keepOptionsWhole({ renderer: { rules } }) {
  const { code_inline: inline } = rules;
  rules.code_inline = (...args) => inline(...args).replace(/(?<![\w-])--?[a-z][\w-]*/g, '<span class="option">$&</span>');
}

export default defineConfig({
  title: 'Weighbridge',
  description: 'Moves pretrained network weights between frameworks, makes them smaller, and proves that the result still predicts the same.',
  head: [
    ['link', { rel: 'icon', type: 'image/svg+xml', href: `${process.env.SITE_BASE ?? '/'}icon.svg` }],
    // A browser may end a line behind any hyphen: "--" and the option's name on the next.
    ['style', {}, '.option { white-space: nowrap; }'],
  ],
  srcDir: './pages',
  outDir: './dist',
  cacheDir: './.cache',
  // A path, where the site is not at the root of its address.
  base: process.env.SITE_BASE ?? '/',
  cleanUrls: false,
  ignoreDeadLinks: [OUTSIDE, /^\.\/(?:\.\.\/)+/],
  // Text with < or {{ is text: nothing in docs/ is a component.
  markdown: { html: false, config: keepOptionsWhole },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    sidebar: [
      group('I want to', [
        ['put my Keras VGG16 into the browser', '/cookbook/keras-in-the-browser'],
        ['know whether this .pth is safe', '/cookbook/is-this-file-safe'],
        ['see which layers fine-tuning changed', '/cookbook/what-did-fine-tuning-change'],
        ['find out why the numbers are wrong', '/cookbook/the-numbers-are-wrong'],
        ['have a 500 MB model on my web page', '/cookbook/large-model-on-a-page'],
        ['do what another converter did', '/coming-from'],
      ]),
      group('Commands', [
        ['convert', '/convert'],
        ['shrink', '/shrink'],
        ['verify', '/verify'],
        ['diff', '/diff'],
        ['audit', '/audit'],
        ['check', '/check'],
        ['evaluate', '/scale'],
        ['golden', '/golden'],
        ['reports', '/reports'],
        ['run, and many at once', '/run'],
        ['models on servers', '/remote'],
        ['JSON for programs', '/json'],
        ['the page', '/web'],
      ]),
      group('Library', [['functions and types', '/api']]),
      group('Formats', [
        ['Keras', '/keras'],
        ['PyTorch', '/pytorch'],
        ['Caffe', '/caffe'],
        ['ONNX', '/onnx'],
        ['TensorFlow', '/tensorflow'],
        ['TensorFlow.js', '/tfjs'],
        ['safetensors', '/safetensors'],
        ['npz', '/npz'],
        ['nets that are recognised', '/architectures'],
      ]),
      group('Beneath', [
        ['layer map', '/layer-map'],
        ['operators', '/operators'],
        ['conformance', '/conformance'],
        ['engines', '/engines'],
        ['GPUs', '/gpu'],
        ['speed', '/speed'],
        ['dependencies', '/dependencies'],
      ]),
    ],
  },
});
