import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inEnglish } from '../../../extension/core/message';
import { evaluationOutcome } from '../../../extension/core/operations/evaluation-outcome';
import type { AnyOperation } from '../../../extension/core/operations/operation';
import { operations } from '../../../extension/core/operations/operations';
import { ableSteps } from '../../../extension/services/jobs/able-steps';
import { compressedOutcome } from '../../../extension/core/operations/outcomes';

const declared = operations as unknown as readonly AnyOperation[];

it('names fields with paths', () => {
  for (const { id, fields, presentation } of declared) {
    const { document, original } = (presentation ?? {}) as {
      readonly document?: string;
      readonly original?: string;
    };
    for (const name of [document, original].filter((one) => one !== undefined)) {
      expect(['path', 'document'], `${id} ${name}`).toContain(fields[name]?.kind);
    }
  }
});

it('leads on from the report of each result that is a model', () => {
  const steps = (id: string, request = {}): readonly string[] =>
    declared.find((one) => one.id === id)?.presentation?.nextSteps?.(request) ?? [];
  for (const id of ['fit', 'prune', 'compress', 'convert', 'repair', 'patch']) {
    expect(steps(id).slice(0, 2), id).toEqual(['playground', 'reveal']);
  }
  expect(steps('fit')).toEqual(['playground', 'reveal', 'evenSmaller', 'seeWhy']);
  expect(steps('evaluate')).not.toContain('compare');
  expect(steps('evaluate', { against: '/m' })).toContain('compare');
  // Results that only a notification shows have one button.
  expect(steps('score-text')).toEqual([]);
});

it('names its jobs in panels of models, and has steps for each report', () => {
  for (const { id, presentation } of declared) {
    const { panel, jobName, report, nextSteps } = presentation ?? {};
    expect(jobName !== undefined, id).toBe(panel === 'heatmap' || panel === 'compression');
    expect(nextSteps !== undefined, id).toBe(report !== undefined);
  }
});

it('updates the panels that show the result', () => {
  const updates = (id: string, result: object, request: object) =>
    declared.find((one) => one.id === id)?.presentation?.updates?.(result, request);
  expect(updates('patch', { sublayer: 'block.0.feedforward' }, {})).toEqual([]);
  expect(updates('patch', { sublayer: 'block.0.feedforward', plan: '/p' }, {})).toEqual([
    { kind: 'patch', plan: '/p', sublayer: 'block.0.feedforward' },
  ]);
  expect(updates('score-experts', {}, { out: '/p' })).toEqual([{ kind: 'selection', plan: '/p' }]);
  expect(updates('data-diet', {}, { data: '/d' })).toEqual([{ kind: 'dataset', data: '/d' }]);
  const text = { domains: false, text: '/t' };
  expect(updates('evaluate', evaluation, text)).toMatchObject([
    { kind: 'evaluation', result: evaluation, text: '/t' },
  ]);
  // Perplexities of other texts don't compare with those in the heatmap.
  expect(updates('evaluate', evaluation, { ...text, domains: true })).toEqual([]);
  expect(updates('evaluate', evaluation, { ...text, base: '/b' })).toEqual([]);
  expect(updates('evaluate', { task: 'arc' }, text)).toEqual([]);
  const budget = { limits: ['bytes<50%'], methods: ['int8'], sensitivity: '/s', keepWidths: true };
  expect(updates('plan-compression', { remove: [] }, budget)).toEqual([
    {
      kind: 'compressionPlan',
      sensitivity: '/s',
      plan: {
        limits: [{ unit: 'bytes', ratio: 0.5 }],
        context: undefined,
        schemes: [{ method: 'int8' }],
        ...{ embeddingAndHead: false, prunesWidths: false, removes: false },
        result: { remove: [] },
      },
    },
  ]);
  const points = [
    { cost: 1, sumOfDistances: 2 },
    { cost: 2, sumOfDistances: 1, score: { acc: 0.5, accError: 0.1 } },
  ];
  expect(updates('pareto', { unit: 'bytes', points }, {})).toMatchObject([{ scores: undefined }]);
  expect(updates('pareto', { unit: 'bytes', points, score: { acc: 1 } }, {})).toMatchObject([
    { scores: { points: [{ cost: 2, sumOfDistances: 1, acc: 0.5, accError: 0.1 }] } },
  ]);
});

it('offers steps that work for the model', () => {
  const all = ['playground', 'reveal', 'repair', 'evaluateBoth', 'openHeatmap', 'compare'] as const;
  expect(ableSteps(all, ['profile', 'compress', 'repair'])).toEqual([
    ...['reveal', 'repair', 'openHeatmap', 'compare'],
  ]);
  expect(ableSteps(all, [])).toEqual(['reveal', 'compare']);
});

it('gives each journal a name of its own', () => {
  const folder = join(import.meta.dirname, '../../../extension/core/operations');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      Array.from(
        readFileSync(join(folder, file), 'utf8').matchAll(/operationJournal\('([\w-]+)'\)/g),
        ([, name = '']) => name,
      ),
    );
  expect(names.length).toBeGreaterThan(5);
  expect(names).toEqual([...new Set(names)]);
});

const evaluation = { perplexity: 11, tokens: 1000, tokensPerSecond: 50 };
const plan = {
  format: 'espalier.plan',
  version: 1,
  model: { path: 'm' },
  remove: ['block.0', 'block.1'],
} as never;

it("shows perplexity after a plan next to the original's", () => {
  const original = { ...evaluation, perplexity: 10 };
  const request = { model: 'm', plan };
  const reported = evaluationOutcome(evaluation, { name: 'M', request, original });
  expect(inEnglish(reported.summary).replaceAll('\u00a0', ' ')).toBe(
    'without 2 sublayers: perplexity 10.00 → 11.00 (+10 %, moderate), tokens per second 50.',
  );
  expect(reported.shown).toBe(true);
});

it('names another model that was evaluated, and announces it', () => {
  const against = { ...evaluation, perplexity: 12 };
  const request = { model: 'm', against: '/models/other' };
  const reported = evaluationOutcome({ ...evaluation, against }, { name: 'M', request });
  expect(inEnglish(reported.summary)).toBe(
    'perplexity 11.00, 50 tokens per second; other: 12.00, 50.',
  );
  expect(reported.shown).not.toBe(true);
});

it('warns of a model that misses a limit', () => {
  const verification = { relativeError: 0.2, tolerance: 1, top1Agreement: 0.98, tokens: 64 };
  const written = { path: '/out/small', bytesBefore: 4096, bytesAfter: 1024, verification };

  const verdict = {
    outcome: 'regression',
    limits: [
      { limit: 'perplexity<1%', outcome: 'regression' },
      { limit: 'agreement>90%', outcome: 'accept' },
    ],
  };
  const reported = compressedOutcome({ ...written, verdict } as never);
  expect(reported.isWarning).toBe(true);
  expect(inEnglish(reported.summary)).toMatch(
    /^small takes 1.00.KiB instead of 4.00.KiB\. Verified: it opens and runs, top-1 agreement with the plan 98.% on 64 tokens\. Verdict: regression \(perplexity<1%\)\.$/,
  );
});
