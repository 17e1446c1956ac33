import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import manifest from '../../../package.json';
import strings from '../../../package.nls.json';
import { commandIds } from '../../../extension/services/command-ids';
import { jobOperations } from '../../../extension/services/jobs/operations';
import { parseSource } from './parse-source';

const root = join(import.meta.dirname, '../../..');
const folders = ['commands', 'panels', 'editors', 'views', 'services'];

/** First arguments of all calls `l10n.t(…)`, and of what is handed on as `translate(…)`, in a file. */
function messagesOf(file: string): readonly string[] {
  const source = parseSource(file);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const called = ts.isCallExpression(node) ? node.expression.getText() : '';
    if (ts.isCallExpression(node) && /^l10n\.t$|(^|\.)translate$/.test(called)) {
      const [message] = node.arguments;
      const isLiteral = message !== undefined && ts.isStringLiteralLike(message);
      // What is translated as declared is in the list of operations.
      expect(isLiteral || called !== 'l10n.t', `${file}: ${node.getText()}`).toBe(true);
      found.push(...(isLiteral ? [message.text] : []));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

// After changing a message: npx vitest run --project unit localization --update
it('the bundle for translators holds every message of the host', async () => {
  const messages = folders.flatMap((folder) =>
    readdirSync(join(root, 'extension', folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => messagesOf(join(root, 'extension', folder, file))),
  );
  const declared = Object.values(jobOperations).flatMap(({ title, saved }) => [
    title,
    saved ?? title,
  ]);
  const bundle = Object.fromEntries(
    [...new Set([...messages, ...declared])].sort().map((text) => [text, text]),
  );
  await expect(`${JSON.stringify(bundle, undefined, 2)}\n`).toMatchFileSnapshot(
    join(root, 'l10n/bundle.l10n.json'),
  );
});

it('the manifest uses exactly the strings of package.nls.json', () => {
  const used = JSON.stringify(manifest).matchAll(/"%([\w.-]+)%"/g);
  expect([...new Set(Array.from(used, ([, key]) => key))].sort()).toEqual(
    Object.keys(strings).sort(),
  );
});

it('the manifest contributes exactly the commands that exist', () => {
  expect(manifest.contributes.commands.map(({ command }) => command).sort()).toEqual(
    Object.values(commandIds).sort(),
  );
});
