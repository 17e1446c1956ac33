import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { encoderArchitectures } from '../../../extension/core/models/encoders/encoder-architectures';
import { allGgufFamilies, namesInGguf } from '../../../extension/core/models/gguf/gguf-families';
import { seq2seqFamilies } from '../../../extension/core/models/seq2seq/seq2seq-families';
import { stagedFamilies } from '../../../extension/core/models/stages/staged-families';
import { architectures } from '../../../extension/core/models/transformer/architectures';

interface Written {
  readonly without: string;
  readonly error: number;
  readonly tolerance?: number;
  readonly as?: string;
}

/** Suffixes that distinguish families of the same `model_type`. */
interface Telling {
  readonly matchingFields?: Readonly<Record<string, unknown>>;
  readonly headClasses?: readonly string[];
}

interface Result extends Telling {
  readonly model: string;
  readonly kind: string;
  readonly family: string;
  readonly error: number;
  readonly written: Readonly<Record<string, Written>>;
}

const root = join(import.meta.dirname, '../../..');
const read = (name: string): unknown =>
  JSON.parse(readFileSync(join(root, 'bench/models', name), 'utf8'));
const results = read('results.json') as readonly Result[];
/** With a field whose value llama.cpp computes otherwise. */
const notWritten = read('not-written-as-gguf.json') as readonly Pick<Result, 'kind' | 'family'>[];
const writtenEntries = ({ written }: Result): readonly Written[] => Object.values(written);
const remedy = 'run node bench/models/run.mjs';
const makeKey = (family: string, { matchingFields, headClasses }: Telling): string =>
  JSON.stringify([family, matchingFields, headClasses]);

const declared: readonly (readonly [
  kind: string,
  families: readonly (Telling & { readonly modelType: string })[],
])[] = [
  ['decoder', architectures],
  ['encoder', encoderArchitectures],
  ['encoder-decoder', seq2seqFamilies],
  ['stages', stagedFamilies],
];

it.each(declared)('every family of kind %s was measured', (kind, families) => {
  const measured = new Set(
    results.filter((one) => one.kind === kind).map((one) => makeKey(one.family, one)),
  );
  const names = families.map((family) => makeKey(family.modelType, family));
  expect(names.length).toBeGreaterThan(10);
  expect(new Set(names).size).toBe(names.length);
  expect(
    names.filter((name) => !measured.has(name)),
    remedy,
  ).toEqual([]);
});

it('folders of every family that has a name in GGUF were written so, or it is said why not', () => {
  const written = new Set(
    results
      .filter(
        (one) => one.kind !== 'gguf' && writtenEntries(one).some(({ as }) => as !== undefined),
      )
      .map((one) => JSON.stringify([one.kind, makeKey(one.family, one)])),
  );
  const hasName = (kind: string, family: Telling & { readonly modelType: string }): boolean =>
    kind !== 'stages' && namesInGguf(family, kind === 'encoder-decoder' ? 2 : 1).length > 0;
  const missing = declared.flatMap(([kind, families]) =>
    families
      .filter((one) => hasName(kind, one))
      .filter((one) => !written.has(JSON.stringify([kind, makeKey(one.modelType, one)])))
      .map(({ modelType: family }) => ({ kind, family })),
  );
  const reported = notWritten.map(({ kind, family }) => ({ kind, family }));
  expect(new Set(missing)).toEqual(new Set(reported));
});

it('every architecture of GGUF files was read', () => {
  const names = allGgufFamilies.map(([name]) => name);
  const found = results.flatMap((one) =>
    one.kind === 'gguf' ? [one.family] : writtenEntries(one).flatMap(({ as = [] }) => as),
  );
  expect(
    names.filter((name) => !found.includes(name)),
    remedy,
  ).toEqual([]);
});

it('every fixture of a model has a measurement, and every measurement a fixture', () => {
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
  const hubModels = results.map(({ model }) => model).filter((name) => name.includes('/'));
  expect(hubModels.sort(), remedy).toEqual(present.sort());
});

it('outputs are within 1e-4, and written models within the error of their format', () => {
  const isFar = ({ error, tolerance = 1e-4 }: Pick<Written, 'error' | 'tolerance'>): boolean =>
    !(error >= 0 && error <= tolerance);
  expect(
    results.filter((one) => isFar({ error: one.error }) || writtenEntries(one).some(isFar)),
  ).toEqual([]);
  const loose = results.flatMap((one) =>
    Object.entries(one.written).flatMap(([target, { tolerance }]) =>
      tolerance === undefined ? [] : [target.split(' ')[0]],
    ),
  );
  expect([...new Set(loose)]).toEqual(['gguf']);
});

it('every family can be pruned, except one whose blocks share weights', () => {
  const whole = results.filter(
    (one) =>
      one.kind !== 'gguf' && writtenEntries(one).every(({ without }) => without === 'nothing'),
  );
  expect(whole.map(({ family }) => family)).toEqual(['albert']);
});
