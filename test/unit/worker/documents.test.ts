import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readDocument } from '../../../extension/core/documents/document-types';
import { inEnglish } from '../../../extension/core/message';
import { openModelFiles } from '../../../extension/core/models/open-model';
import {
  checkPlan,
  writeEvaluations,
} from '../../../extension/core/operations/questions/check-plan';
import { writeStructure } from '../../../extension/core/inspect/describe-model';
import { fixture } from '../fixtures';
import { largeDocuments } from '../../reliability/large-documents';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const model = fixture('llama-gqa-untied');

/** Diagnostics of a plan's text, with the marked range. */
async function findProblems(text: string): Promise<(readonly [marked: string, problem: string])[]> {
  const problems = await checkPlan({ file: join(folder, 'a.plan.json'), text }, openModelFiles);
  return problems.map(({ offset, length, problem }) => [
    text.slice(offset, offset + length),
    problem.kind === 'message' ? inEnglish(problem.message) : problem.kind,
  ]);
}

it('marks errors in a plan at their position', async () => {
  const plan = (fields: object): string =>
    JSON.stringify(
      { format: 'espalier.plan', version: 1, model: { path: model }, remove: [], ...fields },
      undefined,
      2,
    );
  expect(await findProblems(plan({ remove: ['block.1'] }))).toEqual([]);
  expect(await findProblems(plan({ remove: ['block.1', 'block.9'] }))).toEqual([
    ['"block.9"', 'unknown-id'],
  ]);
  const tensor = 'model.layers.0.mlp.up_prj.weight';
  expect(await findProblems(plan({ compress: [{ tensor, method: 'int4', setting: 32 }] }))).toEqual(
    [[`"${tensor}"`, expect.stringContaining('up_proj') as string]],
  );
  const missing = join(folder, 'nothing');
  expect(await findProblems(plan({ model: { path: missing } }))).toEqual([
    [JSON.stringify(missing), expect.stringContaining('There is no such file') as string],
  ]);
  expect(await findProblems('{ "format":\n')).toEqual([['{ "format":', expect.any(String)]]);
});

it('keeps evaluations in a profile, and all else that is in it, unless it is of another model', async () => {
  const file = join(folder, 'a.layerprofile.json');
  const { rounds, ...rest } = largeDocuments.layerProfile();
  const profile = { ...rest, rounds: rounds.slice(0, 4) };
  writeFileSync(file, JSON.stringify(profile));
  const evaluation = { rounds: 0, text: 'bundled', perplexity: 9, tokens: 510, tokensPerSecond: 1 };
  const request = { profile: file, evaluations: [evaluation] };
  await writeEvaluations({ ...request, fingerprint: '0'.repeat(64) });
  expect(readFileSync(file, 'utf8')).toBe(JSON.stringify(profile));
  await writeEvaluations({ ...request, fingerprint: profile.model.fingerprint });
  const saved = await readDocument('layerProfile', file);
  expect(saved.evaluations).toEqual([evaluation]);
  expect(saved.rounds[3]).toEqual(profile.rounds[3]);
});

it('writes the structure of a model, with the statistics that are known', async () => {
  const name = 'model.norm.weight';
  const range = { min: 1, max: 2, mean: 1.5, standardDeviation: 0.5, histogram: undefined };
  const statistics = { [name]: { count: 16, zeros: 0, nan: 0, infinite: 0, ...range } };
  const written = async (format: 'json' | 'csv', known: object = statistics): Promise<string> => {
    const file = join(folder, `structure.${format}`);
    await writeStructure({ model, format, statistics: { ...known }, file }, openModelFiles);
    return readFileSync(file, 'utf8');
  };
  expect(JSON.parse(await written('json'))).toMatchObject({
    family: 'llama',
    statistics: { [name]: { mean: 1.5 } },
  });
  expect(JSON.parse(await written('json', {}))).not.toHaveProperty('statistics');
  const [heading = '', ...rows] = (await written('csv')).trimEnd().split('\r\n');
  expect(heading).toContain('standardDeviation');
  expect(rows.filter((row) => row.includes('1.5,0.5')).map((row) => row.split(',')[0])).toEqual([
    name,
  ]);
});
