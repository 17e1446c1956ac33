import { join } from 'node:path';
import { expect, it } from 'vitest';
import manifest from '../../package.json';
import strings from '../../package.nls.json';
import { commandIds } from '../../extension/services/command-ids';
import { buildCatalogue, findMessages, root, shownSources } from './catalogue';

// After changing a message: npx vitest run --project lint localization --update
it('one catalogue for translators contains every message of core, host and panels', async () => {
  const found = shownSources.map(findMessages);
  // Declared texts are in the list of operations; messages carry their pattern.
  expect(found.flatMap(({ unknown }) => unknown).filter((text) => text.includes('l10n.t'))).toEqual(
    [],
  );
  const catalogue = buildCatalogue(found.flatMap(({ patterns }) => patterns));
  await expect(`${JSON.stringify(catalogue, undefined, 2)}\n`).toMatchFileSnapshot(
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
