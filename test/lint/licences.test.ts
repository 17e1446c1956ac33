import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

interface Locked {
  readonly dev?: boolean;
  readonly license?: string;
  readonly integrity?: string;
  /** Source, if not the registry. */
  readonly resolved?: string;
  /** Why it should not be used any more. */
  readonly deprecated?: string;
  readonly hasInstallScript?: boolean;
}

/** Licenses that only require their text, which the build collects. */
const allowed = new Set(['MIT', 'ISC', '0BSD', 'Apache-2.0', 'BSD-3-Clause', 'CC0-1.0']);

/** They build what is there already; .npmrc keeps them from running. */
const withScripts = ['msgpackr-extract', 'onnxruntime-node'];

it('shipped packages have an allowed license, are maintained, and come from the registry with a hash', () => {
  const file = join(import.meta.dirname, '../../package-lock.json');
  const { packages } = JSON.parse(readFileSync(file, 'utf8')) as {
    readonly packages: Readonly<Record<string, Locked>>;
  };
  const all = Object.entries(packages).filter(([name]) => name !== '');
  const shipped = all.filter(([, { dev }]) => dev !== true);
  expect(shipped.length).toBeGreaterThan(20);
  const refused = shipped.filter(
    ([, { license = 'none' }]) =>
      !license
        .split(/[()]| AND | OR /)
        .filter(Boolean)
        .every((one) => allowed.has(one)),
  );
  expect(refused.map(([name, { license }]) => `${name}: ${license}`)).toEqual([]);
  expect(all.filter(([, { integrity }]) => integrity === undefined)).toEqual([]);
  expect(all.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  expect(shipped.filter(([, { deprecated }]) => deprecated !== undefined)).toEqual([]);
  const scripted = shipped.filter(([, { hasInstallScript }]) => hasInstallScript === true);
  expect(scripted.map(([name]) => name)).toEqual(withScripts.map((name) => `node_modules/${name}`));
});
