import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { evaluateProgram, Machine } from '../../../extension/core/symbolic/evaluation/machine';
import { viewEvolution } from '../../../extension/core/symbolic/evolution/evolution-view';
import type { EvolutionState } from '../../../extension/core/symbolic/evolution/evolution-view';
import { evolve } from '../../../extension/core/symbolic/evolution/evolve';
import type {
  EvolutionSettings,
  ModelRecord,
} from '../../../extension/core/symbolic/evolution/gssnn-document';
import { graphToJson } from '../../../extension/core/symbolic/random-graph';
import { initialLibrary } from '../../../extension/core/symbolic/language/library';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-term';

const settings: EvolutionSettings = {
  ...{ iterations: 3, population: 6, keep: 3, seed: 1, programLimit: 60_000 },
  ...{ size: 'small', mode: 'clean', epochs: 1, legacyWeights: false },
  data: { mode: 'balanced', seed: 1, train: 16, validation: 8, test: 8 },
};

/** An evolution whose accuracies follow from the number of the network. */
async function evolved(): Promise<EvolutionState> {
  const { iterations, best } = await evolve(
    settings,
    async ({ number }) => {
      const share = ((number * 7) % 10) / 10;
      return Promise.resolve({ training: share, train: share, validation: share, test: share });
    },
    unattended,
  );
  return { settings, iterations, best, models: [] };
}

const trained = (program: string, name: string): Omit<ModelRecord, 'kept'> => ({
  ...{ name, program, mass: 4 },
  graph: graphToJson(
    evaluateProgram(parseProgram(program, initialLibrary()), new Machine(initialLibrary())),
  ),
  metrics: { training: 0.5, train: 0.5, validation: 0.5, test: 0.5 },
});

describe('the view of an evolution', () => {
  it('writes every program without its inventions, as one that builds the same graph', async () => {
    const view = viewEvolution(await evolved());
    const models = view.iterations.flatMap((iteration) => iteration.models);
    expect(models.some(({ program }) => program.uses.length > 0)).toBe(true);
    const machine = new Machine(initialLibrary());
    for (const { program, graph } of models) {
      const { text = '', symbols } = program.reduced ?? {};
      expect(text).not.toMatch(/fn_|lam/);
      expect(graphToJson(evaluateProgram(parseProgram(text, initialLibrary()), machine))).toEqual(
        graph,
      );
      expect(symbols).toBe(text.match(/[a-z_]+/g)?.length);
    }
  });

  it('shows when inventions were learned, and which programs use them', async () => {
    const state = await evolved();
    const { inventions, iterations } = viewEvolution(state);
    expect(inventions.map(({ name }) => name)).toEqual(
      state.iterations.flatMap(({ learned }) => learned.map(({ name }) => name)),
    );
    for (const { name, iteration, programs, body } of inventions) {
      expect(body.reduced?.text).not.toMatch(/fn_/);
      expect(programs).toHaveLength(iterations.length);
      // The search cannot use what it does not know yet.
      expect(programs.slice(0, iteration).every((count) => count === 0)).toBe(true);
      const texts = state.iterations.map(({ models }) =>
        models.filter(({ program }) => new RegExp(`\\b${name}\\b`).test(program)),
      );
      expect(programs).toEqual(texts.map((found) => found.length));
    }
    expect(inventions.some(({ programs }) => programs.some((count) => count > 0))).toBe(true);
  });

  it('recognizes a graph with renumbered nodes', () => {
    const path = trained('(push (add (connect (add (next_port (connect identity))))))', 'P3');
    const retrained = trained(
      '(push (add (connect (push (next_port (add (connect identity)))))))',
      'P3',
    );
    const pair = trained('(push (add (connect identity)))', 'K2');
    const { iterations, inventions, baselines } = viewEvolution({
      ...{ settings, iterations: [], models: [path, retrained, pair] },
    });
    const [models = []] = iterations.map((iteration) => iteration.models);
    const [a, b, c] = models.map(({ graphClass }) => graphClass);
    expect(path.graph).not.toEqual(retrained.graph);
    expect(a).toBe(b);
    expect(a).not.toBe(c);
    // The iteration goes on: nothing is kept, and its spread is not known.
    expect(models.every(({ kept }) => kept === undefined)).toBe(true);
    expect(iterations[0]?.spread).toBeUndefined();
    expect([inventions, baselines]).toEqual([[], []]);
  });

  it('abbreviates long programs', () => {
    const doubling = Array.from({ length: 16 }, (_, i) => ({
      name: `fn_${i}`,
      term: i === 0 ? '(lam (next_port $0))' : `(lam (fn_${i - 1} (fn_${i - 1} $0)))`,
      utility: 1,
    }));
    const long = {
      ...trained('(push (add (connect identity)))', 'K2'),
      program: '(fn_15 identity)',
    };
    const metrics = { mean: 0.5, deviation: null, least: 0.5, most: 0.5 };
    const { iterations } = viewEvolution({
      settings,
      models: [long],
      iterations: [
        {
          ...{ exploration: { enumerated: 1, added: 0, replaced: 0, total: 0 }, library: [] },
          ...{ models: [], spread: metrics, correlation: null, learned: doubling },
        },
      ],
    });
    expect(iterations[1]?.models[0]?.program).toEqual({
      text: '(fn_15 identity)',
      uses: ['fn_15'],
    });
  });
});
