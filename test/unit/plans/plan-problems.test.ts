import { describe, expect, it } from 'vitest';
import { nearestId, planProblems } from '../../../extension/core/plans/plan-problems';
import { inEnglish } from '../../../extension/core/message';
import { smallModel } from '../services/small-model';
import { makeMoeModel } from '../webview/heatmap-fixture';

const model = smallModel(3);
const plan = (fields: object): string =>
  JSON.stringify(
    { format: 'espalier.plan', version: 1, model: { path: 'small' }, remove: [], ...fields },
    undefined,
    2,
  );

describe('planProblems', () => {
  it('finds nothing wrong with a good plan', () => {
    const text = plan({ remove: ['block.1', 'block.2.attention'], protect: ['block.0'] });
    expect(planProblems(text, model)).toEqual([]);
  });

  it('marks the place of an unknown id and names the nearest', () => {
    const text = plan({ remove: ['block.1.atention'] });
    const [problem] = planProblems(text, model);
    expect(problem?.problem).toEqual({
      kind: 'unknown-id',
      id: 'block.1.atention',
      nearest: 'block.1.attention',
    });
    expect(text.slice(problem?.offset, (problem?.offset ?? 0) + (problem?.length ?? 0))).toBe(
      '"block.1.atention"',
    );
  });

  it('finds repetitions, contradictions, another model and nothing left', () => {
    const kinds = (fields: object): string[] =>
      planProblems(plan(fields), model).map(({ problem }) => problem.kind);
    expect(kinds({ remove: ['block.1', 'block.1.attention'] })).toEqual(['repeated-id']);
    expect(kinds({ remove: ['block.1'], protect: ['block.1.attention'] })).toEqual([
      'removed-and-protected',
    ]);
    expect(kinds({ model: { path: 'small', fingerprint: '0' } })).toEqual(['other-model']);
    expect(kinds({ remove: ['block.0', 'block.1', 'block.2'] })).toEqual(['nothing-left']);
  });

  it('marks types of tensors that are removed', () => {
    const text = plan({
      remove: ['block.1.attention'],
      types: {
        'blk.1.attn_q.weight': 'Q8_0',
        'blk.1.attn_norm.weight': 'F32',
        'blk.1.ffn_up.weight': 'Q8_0',
        'blk.2.attn_q.weight': 'Q8_0',
      },
    });
    const marked = planProblems(text, model).map(({ offset, length }) =>
      text.slice(offset, offset + length),
    );
    expect(marked).toEqual(['"blk.1.attn_q.weight"']);
  });

  it('warns of removals that free nothing, unless all layers that share their weights are removed', () => {
    const of = (kind: string): string[] =>
      model.sublayers.flatMap(({ id }) => (id.endsWith(kind) ? [id] : []));
    const sublayers = model.sublayers.map((one) => ({
      ...one,
      ...{ parameters: 0, sharedWeights: 64, shares: [`shared.${one.kind}`] },
    }));
    const found = (remove: string[]): unknown[] =>
      planProblems(plan({ remove }), { ...model, sublayers }).map(({ severity, problem }) => [
        severity,
        problem.kind === 'message' ? inEnglish(problem.message) : problem.kind,
      ]);
    expect(found(['block.0.attention', ...of('feedforward')])).toEqual([
      [
        'warning',
        'Removing block.0.attention frees no parameters: other sublayers use the same weights.',
      ],
    ]);
    expect(found(of('attention'))).toEqual([]);
  });

  it('knows groups of experts, which keep equal numbers', () => {
    const mixture = makeMoeModel(2);
    const grouped = {
      ...mixture,
      sublayers: mixture.sublayers.map((one) => ({
        ...one,
        ...(one.experts === undefined ? {} : { experts: { ...one.experts, groups: 2 } }),
      })),
    };
    const found = (...experts: number[]): unknown[] =>
      planProblems(plan({ remove: experts.map((j) => `block.1.expert.${j}`) }), grouped).map(
        ({ problem }) => (problem.kind === 'message' ? inEnglish(problem.message) : problem.kind),
      );
    expect(found(0, 3)).toEqual([]);
    expect(found(0, 1)).toEqual([
      'The router of block.1.expert chooses from 2 equal groups of 2 experts, but they would keep different numbers.',
    ]);
  });

  it('finds single experts, and that an MoE layer keeps one', () => {
    const mixture = makeMoeModel(2);
    const kinds = (remove: string[]): string[] =>
      planProblems(plan({ remove }), mixture).map(({ problem }) => problem.kind);
    const all = [0, 1, 2, 3].map((expert) => `block.1.expert.${expert}`);
    expect(kinds(all.slice(1))).toEqual([]);
    expect(kinds(all)).toEqual(['no-expert-left']);
    expect(kinds([...all, 'block.1.expert'])).toEqual([]);
    // A table names all experts, or a graph sends each token to several regardless of removals.
    const fixed = {
      ...mixture,
      sublayers: mixture.sublayers.map((one) => ({
        ...one,
        ...(one.experts === undefined ? {} : { experts: { ...one.experts, least: 3 } }),
      })),
    };
    const problems = (remove: string[]): unknown[] =>
      planProblems(plan({ remove }), fixed).map(({ problem }) => problem);
    expect(problems(all.slice(3))).toEqual([]);
    expect(problems(all.slice(2))).toEqual([
      { kind: 'too-few-experts', mixture: 'block.1.expert', least: 3 },
    ]);
    const text = plan({ remove: ['block.0.expert.1'], protect: ['block.0.expert'] });
    expect(planProblems(text, mixture).map(({ problem }) => problem.kind)).toEqual([
      'removed-and-protected',
    ]);
    expect(kinds(['block.1.expert.4', 'block.0.attention.0'])).toEqual([
      'unknown-id',
      'unknown-id',
    ]);
  });

  it('leaves broken JSON to the editor', () => {
    expect(planProblems('{ "remove": [', model)).toEqual([]);
  });
});

describe('nearestId', () => {
  it('suggests nothing far-fetched', () => {
    expect(nearestId('lm_head', model)).toBeUndefined();
  });
});
