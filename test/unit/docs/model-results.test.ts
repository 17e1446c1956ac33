import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { encoderArchitectures } from '../../../extension/core/models/encoders/encoder-architectures';
import { allGgufFamilies } from '../../../extension/core/models/gguf/gguf-families';
import { seq2seqFamilies } from '../../../extension/core/models/seq2seq/seq2seq-families';
import { stagedFamilies } from '../../../extension/core/models/stages/staged-families';
import { t5InGguf } from '../../../extension/core/models/t5/t5-gguf';
import { architectures } from '../../../extension/core/models/transformer/architectures';

interface Written {
  readonly without: string;
  readonly error: number;
  readonly tolerance?: number;
  readonly as?: string;
}

interface Result {
  readonly model: string;
  readonly kind: string;
  readonly family: string;
  readonly error: number;
  readonly written: Readonly<Record<string, Written>>;
}

const root = join(import.meta.dirname, '../../..');
const results = JSON.parse(
  readFileSync(join(root, 'bench/models/results.json'), 'utf8'),
) as readonly Result[];
const writtenOf = ({ written }: Result): readonly Written[] => Object.values(written);
const remedy = 'run node bench/models/run.mjs';

it.each([
  ['decoder', architectures],
  ['encoder', encoderArchitectures],
  ['encoder-decoder', seq2seqFamilies],
  ['stages', stagedFamilies],
])('every family of kind %s was measured', (kind, families) => {
  const measured = new Set(results.filter((one) => one.kind === kind).map(({ family }) => family));
  const names = families.map(({ modelType }) => modelType);
  expect(names.length).toBeGreaterThan(10);
  expect(
    names.filter((name) => !measured.has(name)),
    remedy,
  ).toEqual([]);
});

it('every architecture of GGUF files was read', () => {
  const read = results.flatMap((one) =>
    one.kind === 'gguf' ? [one.family] : writtenOf(one).flatMap(({ as = [] }) => as),
  );
  const names = [...allGgufFamilies.map(([name]) => name), t5InGguf.both, t5InGguf.encoder];
  expect(
    names.filter((name) => !read.includes(name)),
    remedy,
  ).toEqual([]);
});

it('every fixture of a model was measured, and what was measured is still there', () => {
  const fixtures = join(root, 'test/fixtures');
  const folders = ['models', 'families', 'encoders', 'seq2seq', 'stages', 'quantized'];
  const files = ['gguf', 'gguf-encoders', 'gguf-t5'];
  const present = [...folders, ...files].flatMap((folder) => {
    const names = readdirSync(join(fixtures, folder));
    const models = files.includes(folder)
      ? names.filter((name) => names.includes(name.replace(/\.gguf$/, '.bin')))
      : names;
    return models
      .filter((name) => /^[^.]+(\.gguf)?$/.test(name) && !name.startsWith('blocks'))
      .map((name) => `${folder}/${name}`);
  });
  const kept = results.map(({ model }) => model).filter((name) => name.includes('/'));
  expect(kept.sort(), remedy).toEqual(present.sort());
});

it('outputs are within 1e-4, and those of what was written as close as its format allows', () => {
  const isFar = ({ error, tolerance = 1e-4 }: Pick<Written, 'error' | 'tolerance'>): boolean =>
    !(error >= 0 && error <= tolerance);
  expect(
    results.filter((one) => isFar({ error: one.error }) || writtenOf(one).some(isFar)),
  ).toEqual([]);
  const loose = results.flatMap((one) =>
    Object.entries(one.written).flatMap(([target, { tolerance }]) =>
      tolerance === undefined ? [] : [target.split(' ')[0]],
    ),
  );
  expect([...new Set(loose)]).toEqual(['gguf']);
});

it('every family but one whose blocks share weights loses something', () => {
  const whole = results.filter(
    (one) => one.kind !== 'gguf' && writtenOf(one).every(({ without }) => without === 'nothing'),
  );
  expect(whole.map(({ family }) => family)).toEqual(['albert']);
});
