// Writes what follows from the declarations: the lists of operations and commands, docs/reference/,
// the schemas in media/, and in package.json the commands, the menus, the lists of settings and the tools for language
// models.
// node scripts/generate.mjs [--check]: only says what is not current.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { format } from 'oxfmt';
import { collectedFiles, settleCommands } from './lib/collected.mjs';
import { errorsReference } from './lib/coded-errors.mjs';
import { loadDeclarations } from './lib/core-modules.mjs';
import { layoutsReference, modelsReference } from './lib/model-reference.mjs';
import { modelResults, notWrittenAsGguf } from './lib/model-results.mjs';
import {
  cliReference,
  filesReference,
  settingsReference,
  settleSettings,
} from './lib/reference.mjs';
import { root } from './lib/repository.mjs';
import { planSchema, requestSchema } from './lib/schemas.mjs';
import { settleTools } from './lib/language-model-tools.mjs';
import { settleMenus } from './lib/menus.mjs';
import { say } from './lib/terminal.mjs';
import { compileToWasm } from './lib/web-assembly.mjs';

/** @param {string} path */
const read = (path) => readFile(join(root, path), 'utf8').catch(() => '');

/** @type {string[]} */
const stale = [];
const manifest = JSON.parse(await read('package.json'));
const words = JSON.parse(await read('package.nls.json'));
settleCommands(manifest, words);
await settle({
  ...(await bytesModule('extension/core/checkpoints/quantize/search')),
  ...(await bytesModule('extension/core/checkpoints/quantize/dequantize')),
  ...(await bytesModule('extension/core/linear-algebra/kernels')),
  ...(await collectedFiles(read, words)),
});
const declarations = await loadDeclarations();
settleSettings(manifest, words, declarations);
settleTools(manifest, words, declarations);
settleMenus(manifest, declarations);

await settle({
  'package.json': JSON.stringify(manifest),
  'package.nls.json': JSON.stringify(words),
  'docs/reference/cli.md': cliReference(declarations),
  'docs/reference/settings.md': settingsReference(manifest, words, declarations),
  'docs/reference/files.md': filesReference(manifest, words, declarations),
  'docs/reference/models.md': modelsReference(
    declarations,
    await modelResults(),
    await notWrittenAsGguf(),
  ),
  'docs/reference/layouts.md': layoutsReference(declarations),
  'docs/reference/errors.md': errorsReference(),
  'media/plan.schema.json': JSON.stringify(planSchema(declarations)),
  'media/request.schema.json': JSON.stringify(requestSchema(declarations)),
});

if (process.argv.includes('--check') && stale.length > 0) {
  say(`Not current: ${stale.join(', ')}. Run node scripts/generate.mjs.`);
  process.exitCode = 1;
} else {
  for (const path of stale) say(`Wrote ${path}`);
}

/**
 * Writes what is not current, or only notes it.
 * @param {Record<string, string>} files by path
 */
async function settle(files) {
  for (const [path, content] of Object.entries(files)) {
    const text = await formatted(path, content);
    if (text === (await read(path))) continue;
    stale.push(path);
    if (!process.argv.includes('--check')) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
  }
}

/**
 * As `npm run format` leaves it: the library, unlike its command, reads no configuration.
 * @param {string} path
 * @param {string} content
 */
async function formatted(path, content) {
  const { overrides, ignorePatterns: _, ...style } = JSON.parse(await read('.oxfmtrc.json'));
  for (const { files, options } of overrides) {
    // Patterns such as *.md.
    if (files.some((/** @type {string} */ pattern) => path.endsWith(pattern.slice(1)))) {
      Object.assign(style, options);
    }
  }
  const { code, errors } = await format(path, content, style);
  if (errors.length > 0)
    throw new Error(`${path}: ${errors.map(({ message }) => message).join(' ')}`);
  return code;
}

/**
 * Module next to an AssemblyScript source that exports its bytes as base64.
 * @param {string} path of the source, without its suffix
 */
async function bytesModule(path) {
  const text = Buffer.from(await compileToWasm(join(root, `${path}.as`))).toString('base64');
  const name = `${basename(path)}Bytes`;
  const module = `// Written by scripts/generate.mjs.\nexport const ${name} =\n  '${text}';\n`;
  return { [`${path}-bytes.ts`]: module };
}
