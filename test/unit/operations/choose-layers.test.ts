import { describe, expect, it } from 'vitest';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { chooseLayers } from '../../../extension/core/operations/questions/choose-layers';
import { fixture } from '../fixtures';

describe('the predicted size of a compression', () => {
  it('counts a tied head with the embedding, and in addition if it is compressed alone', async () => {
    const opened = await openModelFiles(fixture('llama-tied-f16'));
    const { bytes } = opened.summary;
    const [embedding] = opened.model.embeddingAndHeadMatrices;
    const size = (embeddingAndHead: readonly ('embedding' | 'head')[]): number =>
      chooseLayers(opened, { compression: { method: 'int8' }, skip: [], embeddingAndHead }).bytes;
    const blocks = size([]);
    // Linear layers of float16 in a little more than 8 bits.
    expect(blocks).toBeLessThan(bytes);
    expect(blocks).toBeGreaterThan(bytes / 2);
    const shared = blocks - size(['embedding', 'head']);
    const added = size(['head']) - blocks;
    expect(shared).toBeGreaterThan(0);
    expect(added).toBeGreaterThan(0);
    expect(shared + added).toBe(embedding?.weight.length);
  });

  it('is smaller with smaller shares and fewer layers left out', async () => {
    const opened = await openModelFiles(fixture('llama-gqa-untied'));
    const size = (ratio: number, skip: readonly 'down'[] = []): number =>
      chooseLayers(opened, { compression: { method: 'lowrank', ratio }, skip }).bytes;
    expect(size(0.2)).toBeLessThan(size(0.6));
    expect(size(0.2)).toBeLessThan(size(0.2, ['down']));
  });
});
