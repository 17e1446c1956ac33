import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './repository.mjs';

const note = '// Written by scripts/generate.mjs.';

/**
 * Lists of the contents of folders: every operation, and every palette command with its handler.
 * Existing entries keep their order, which is that of help and docs; new ones are appended.
 * @param {(path: string) => Promise<string>} read
 * @param {Record<string, string>} words of package.nls.json: a command exists if it has a title
 */
export async function collectedFiles(read, words) {
  const operations = sortLikeKnown(
    await exportsIn('extension/core/operations', /export const (\w+) = defineOperation\(/g, read),
    namesIn(await read('extension/core/operations/operations.ts'), /^ {2}(\w+),$/gm),
  );
  const exported = await exportsIn('extension/commands', /export (?:async )?function (\w+)/g, read);
  const titled = Object.keys(words).flatMap((key) => /^command\.(\w+)$/.exec(key)?.[1] ?? []);
  const commands = sortLikeKnown(
    new Map(titled.map((name) => [name, findFile(exported, name)])),
    namesIn(await read('extension/services/command-ids.ts'), /^ {2}(\w+):/gm),
  );
  return {
    'extension/core/operations/operations.ts': [
      note,
      ...imports(operations),
      '',
      '/** Everything a user can ask for, in the order of help and docs. */',
      `export const operations = [${[...operations.keys()].join(', ')}] as const;`,
      '',
      'type Known = (typeof operations)[number];',
      "export type OperationId = Known['id'];",
      '',
      '/** The operation of an id. */',
      'export type OperationOf<Id extends OperationId> = Extract<Known, { readonly id: Id }>;',
    ].join('\n'),
    'extension/services/command-ids.ts': [
      note,
      '/** Every command of the extension. */',
      `export const commandIds = {${[...commands.keys()].map((name) => `${name}: 'espalier.${name}'`).join(', ')}} as const;`,
      '',
      'export type CommandName = keyof typeof commandIds;',
    ].join('\n'),
    'extension/commands/handlers.ts': [
      note,
      ...[...commands].map(([name, file]) => `export { ${name} } from './${file}';`),
    ].join('\n'),
  };
}

/**
 * Contributes every command that has a title, in the order of the list.
 * @param {Record<string, any>} manifest changed in place
 * @param {Record<string, string>} words
 */
export function settleCommands(manifest, words) {
  const { commands } = manifest['contributes'];
  const titles = Object.keys(words).filter((key) => /^command\.\w+$/.test(key));
  const missing = titles.filter((key) =>
    commands.every((/** @type {{ title: string }} */ { title }) => title !== `%${key}%`),
  );
  commands.push(
    ...missing.map((key) => ({
      command: key.replace('command', 'espalier'),
      title: `%${key}%`,
      category: 'Espalier',
    })),
  );
}

/**
 * Names that files of a folder export, with those files.
 * @param {string} folder
 * @param {RegExp} pattern
 * @param {(path: string) => Promise<string>} read
 */
async function exportsIn(folder, pattern, read) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const file of (await readdir(join(root, folder))).sort()) {
    for (const name of namesIn(await read(`${folder}/${file}`), pattern)) {
      found.set(name, file.replace(/\.ts$/, ''));
    }
  }
  return found;
}

/**
 * @param {string} text
 * @param {RegExp} pattern
 */
function namesIn(text, pattern) {
  return [...text.matchAll(pattern)].map(([, name = '']) => name);
}

/**
 * @param {ReadonlyMap<string, string>} exported
 * @param {string} name
 */
function findFile(exported, name) {
  const file = exported.get(name);
  if (file === undefined) {
    throw new Error(
      `package.nls.json has command.${name}, but no file in extension/commands exports ${name}.`,
    );
  }
  return file;
}

/**
 * @param {ReadonlyMap<string, string>} found
 * @param {readonly string[]} known
 */
function sortLikeKnown(found, known) {
  const names = [...known.filter((name) => found.has(name)), ...found.keys()];
  return new Map([...new Set(names)].map((name) => [name, found.get(name) ?? '']));
}

/** @param {ReadonlyMap<string, string>} exported */
function imports(exported) {
  return [...exported]
    .sort(([, a], [, b]) => (a < b ? -1 : 1))
    .map(([name, file]) => `import { ${name} } from './${file}';`);
}
