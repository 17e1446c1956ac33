import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { buildRequest } from '../../../extension/core/operations/build-request';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { profile } from '../../../extension/core/operations/profile';
import type { LayerProfile } from '../../../extension/core/prune/layer-profile';
import { familyFixture, fixture } from '../fixtures';
import { encoderFile } from '../gguf-encoder-fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { t5File } from '../gguf-t5-fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const samples = join(import.meta.dirname, '../../../samples');

/** Default result and warnings of a profile. */
async function profiled(
  model: string,
  given: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly found: LayerProfile; readonly warned: readonly string[] }> {
  const warned: string[] = [];
  const context: OperationContext = {
    ...unattended,
    warn: (message) => warned.push(inEnglish(message)),
    environment: {
      ...{ samples, version: 'test', costsFolder: join(folder, 'costs'), bundles: dirname(model) },
      open: openModelFiles,
    },
  };
  const mentionsRandomNumbers = (message: string): boolean =>
    message.includes('are random numbers');
  const request = buildRequest(profile, {
    ...{ model, device: 'cpu', all: true, baselines: false, perplexity: false },
    ...{ calibration: 'random', sequences: 2, length: 8, ...given },
  });
  const found = await profile.run(request, context);
  return { found, warned: warned.filter((message) => !mentionsRandomNumbers(message)) };
}

const ordered = ({ rounds }: LayerProfile): string[] => rounds.map(({ removed }) => removed);

describe('units that a profile removes', () => {
  it('is whole blocks of a GGUF file that allows only those', async () => {
    const { found, warned } = await profiled(ggufFixture('gemma3.gguf'));
    expect(found.settings.granularity).toBe('block');
    expect(found.rounds.length).toBeGreaterThan(0);
    expect(ordered(found).every((id) => /^block\.\d+$/.test(id))).toBe(true);
    expect(warned).toEqual([]);
  });

  it('are sublayers of a GGUF file that allows some, ordered, with the distance of each', async () => {
    const { found, warned } = await profiled(ggufFixture('llama.gguf'));
    expect(found.settings.granularity).toBe('sublayer');
    // After its attention is removed, the rest of the block can be removed as a block.
    expect(ordered(found)).toEqual(['block.1.attention', 'block.1.feedforward']);
    expect(found.candidates).toHaveLength(4);
    expect(found.candidates.every(({ distance }) => (distance ?? -1) > 0)).toBe(true);
    expect(warned).toEqual([expect.stringMatching(/^3 of 4 candidates can't be removed alone/)]);
  });

  it('are limited to combinations that can be written', async () => {
    // Three blocks of the encoder and two of the decoder, which llama.cpp wants no more of.
    const { found, warned } = await profiled(t5File('t5-gated'));
    expect(found.settings.granularity).toBe('block');
    const removedIds = ordered(found).map((id) => Number(id.slice('block.'.length)));
    for (const count of removedIds.keys()) {
      const left = (first: number, end: number): number =>
        end - first - removedIds.slice(0, count + 1).filter((b) => b >= first && b < end).length;
      expect(left(3, 5)).toBeGreaterThan(0);
      expect(left(0, 3)).toBeGreaterThanOrEqual(left(3, 5));
    }
    expect(warned).toEqual([]);
    const all = { protect: ['block.0', 'block.1'], all: undefined, remove: 3 };
    const fewer = await profiled(t5File('t5-gated'), all);
    expect(fewer.found.rounds.length).toBeLessThan(3);
    expect(fewer.warned).toContainEqual(
      `The order ends after ${fewer.found.rounds.length} removals, fewer than requested: nothing else can be removed.`,
    );
  });

  it('are sublayers if nothing can be written, with the reason, or if all can', async () => {
    const none = await profiled(encoderFile('nomic-bert'));
    expect(none.found.settings.granularity).toBe('sublayer');
    expect(none.found.rounds.length).toBeGreaterThan(0);
    expect(none.warned).toContainEqual(
      expect.stringMatching(/^4 of 4 candidates .* alone\. Prune the Hugging Face folder/),
    );
    const all = await profiled(fixture('llama-gqa-untied'));
    expect(all.found.settings.granularity).toBe('sublayer');
    expect(all.warned).toEqual([]);
    const experts = await profiled(familyFixture('olmoe'), { granularity: 'expert' });
    expect(experts.found.settings.granularity).toBe('expert');
  });
});
