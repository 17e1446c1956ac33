import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../../extension/core/checkpoints/safetensors';
import { seededRandom } from '../../../extension/core/data/random';
import { defaultSettings, isBaseline } from '../../../extension/core/prune/options';
import type { SearchSettings } from '../../../extension/core/prune/options';
import { profileModel } from '../../../extension/core/prune/profile-model';
import type { ProfileJob } from '../../../extension/core/prune/profile-model';
import type { SearchResult } from '../../../extension/core/prune/search';
import { unattended } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { rejection } from '../export/pruning';
import { fixture } from '../fixtures';
import { runSearch } from './run-search';

const folders: string[] = [];
afterAll(() => {
  folders.forEach((folder) => {
    rmSync(folder, { recursive: true });
  });
});

const random = seededRandom(5);
const sequences = Array.from({ length: 2 }, () =>
  Array.from({ length: 48 }, () => Math.floor(random() * 64)),
);
const sublayers = [
  '0.self_attn.o_proj',
  '0.mlp.down_proj',
  '1.self_attn.o_proj',
  '1.mlp.down_proj',
];

/**
 * A model with 1 in the last channel of its embedding, to which each sublayer adds what is given, in all −1. What is
 * left of it makes every logit overflow.
 */
async function overflowing(added: readonly number[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-overflow-'));
  folders.push(folder);
  cpSync(fixture('llama-attention-bias'), folder, { recursive: true });
  const file = join(folder, 'model.safetensors');
  const { tensors } = await readSafetensorsHeader(file);
  const bytes = readFileSync(file);
  const last = 31;
  const set = (name: string, value: number, axis: 'row' | 'column'): void => {
    const tensor = tensors.find((one) => one.name === name);
    const [rows = 1, columns = 1] = tensor?.shape ?? [];
    const start = tensor?.offset ?? Number.NaN;
    for (let i = 0; i < (axis === 'row' ? columns : rows); i++) {
      const index = axis === 'row' ? last * columns + i : i * columns + last;
      bytes.writeFloatLE(value, start + 4 * index);
    }
  };
  set('model.embed_tokens.weight', 1, 'column');
  set('lm_head.weight', 1e38, 'column');
  set('model.norm.weight', 100, 'row');
  sublayers.forEach((name, i) => {
    set(`model.layers.${name}.weight`, 0, 'row');
    set(`model.layers.${name}.bias`, added[i] ?? 0, 'row');
  });
  writeFileSync(file, bytes);
  return folder;
}

const modes = ['adaptive', 'exact', 'lazy', 'naive', 'one-shot', 'reverse'] as const;

describe.each(modes)('a search in mode %s', (mode) => {
  const searched = async (
    added: readonly number[],
    count: number,
    settings: Partial<SearchSettings> = {},
  ): Promise<SearchResult> =>
    runSearch({
      ...{ folder: await overflowing(added), sequences },
      settings: { mode, budget: { kind: 'count', count }, ...settings },
    });

  it('first removes sublayers that leave finite outputs, and refines in the same way', async () => {
    const { rounds, candidates } = await searched([-0.5, -0.5, 0, 0], 2, {
      baselines: ['one-shot', 'random'],
      refine: { method: 'swaps', sets: 4 },
    });
    const removed = rounds.map((round) => round.removed);
    expect(removed.sort()).toEqual(['block.1.attention', 'block.1.feedforward']);
    expect(rounds.every(({ distance }) => Number.isFinite(distance))).toBe(true);
    if (mode !== 'reverse') {
      const isKnown = candidates.map(({ distance }) => distance !== null);
      expect(isKnown).toEqual([false, false, true, true]);
    }
  });

  it('ends if every removal overflows, with a suggestion', async () => {
    const { message } = await rejection(searched([-0.5, -0.5, 0, 0], 3));
    expect(message).toMatch(
      isBaseline(mode)
        ? /Round 3: without block\.0\.\w+, the outputs of \S+ contain NaN or infinity\./
        : /Round 3: the outputs of \S+ contain NaN or infinity, regardless of what is removed\./,
    );
    expect(message).toContain('Set the budget to 2 removals');
  });

  it('ends immediately if no removal leaves finite outputs', async () => {
    const { message } = await rejection(searched([-0.25, -0.25, -0.25, -0.25], 1));
    expect(message).toMatch(/Round 1: .*NaN or infinity.*choose another granularity/s);
  });
});

it.each(['adaptive', 'exact', 'one-shot'] as const)(
  'a search with NaN resumes: %s',
  async (mode) => {
    const folder = await overflowing([-0.5, -0.5, 0, 0]);
    const journal = join(folder, 'search.journal.jsonl');
    const saved = async (): Promise<string[]> => {
      const job: ProfileJob = {
        model: await openModelFiles(folder),
        calibration: { file: 'random', sequences: 2, length: 24 },
        settings: { ...defaultSettings, mode, budget: { kind: 'count', count: 3 } },
        ...{ device: 'cpu', memoryBytes: 1 << 28, out: undefined, journal },
      };
      const environment = { bundledText: '', version: '1.0.0' };
      const { message } = await rejection(profileModel(job, environment, unattended));
      expect(message).toContain('Round 3');
      return readFileSync(journal, 'utf8').split('\n').slice(1);
    };
    const first = await saved();
    expect(first.some((line) => line.includes('null'))).toBe(true);
    // The second run measures nothing, so it adds nothing.
    expect(await saved()).toEqual(first);
  },
);
