import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom, standardNormal } from '../../../extension/core/data/random';
import { unattended } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { repairModel } from '../../../extension/core/pipelines/compression/repair-model';
import type {
  RepairRequest,
  RepairResult,
} from '../../../extension/core/pipelines/compression/repair-model';
import { defaultRepair } from '../../../extension/core/tensornet/repair/repair-settings';
import { floatNpy } from '../data/npy-file';
import { prune } from '../export/pruning';
import { stagedFixture } from '../fixtures';
import { stagedGolden } from '../models/staged-golden';
import { withLetters } from '../models/with-letters';
import { paired, runsAllCases } from '../sample';
import { temporaryFolder } from '../temporary-folder';

const out = temporaryFolder();
const where = { device: 'cpu', memoryBytes: 1 << 28, overwrite: false } as const;
const words = ['a', 'model', 'reads', 'some', 'words', 'and', 'writes', 'others'];
const pairs = join(out, 'pairs.jsonl');
writeFileSync(
  pairs,
  Array.from({ length: 12 }, (_, i) => {
    const input = words.map((_, at) => words[(i * (at + 1) + at) % words.length]).join(' ');
    return JSON.stringify({ input, target: input.split(' ').slice(1, 3).join(' ') });
  }).join('\n'),
);

/** A model with every linear layer of some sublayers compressed. */
async function compressed(teacher: string, name: string, count: number): Promise<string> {
  const model = await openModelFiles(teacher);
  const layers = model.summary.sublayers.flatMap(
    (_, index) => model.model.sublayer(index).linearLayers,
  );
  const path = join(out, `${name}-compressed`);
  const choices = layers.map(({ id }) => ({
    tensor: id,
    method: 'lowrank' as const,
    setting: count,
  }));
  await compressModel({ ...where, model, choices, out: path }, unattended);
  return path;
}

/** Random images of the size that a fixture has. */
function imagesFor(name: string): string {
  const [{ pixel_values: pixels } = {}] = stagedGolden(name).examples;
  const dims = [8, ...(pixels?.dims.slice(1) ?? [])];
  const random = seededRandom(1);
  const size = dims.reduce((product, side) => product * side, 1);
  const path = join(out, `${name}-images.npy`);
  writeFileSync(
    path,
    floatNpy(
      dims,
      Array.from({ length: size }, () => standardNormal(random)),
    ),
  );
  return path;
}

async function repair(
  teacher: string,
  student: string,
  name: string,
  more: Partial<RepairRequest>,
): Promise<RepairResult> {
  return repairModel(
    {
      ...where,
      model: await openModelFiles(student),
      teacher: await openModelFiles(teacher),
      text: { file: 'random', sequences: 16, length: 12 },
      bundledText: '',
      ...{ settings: defaultRepair, epochs: 2, states: 'student', version: 'test' },
      out: join(out, name),
      ...more,
    },
    unattended,
  );
}

/** UMT5 differs from T5 in where it keeps the bias by distance. */
const towers = runsAllCases ? ['t5', 'umt5', 'bart'] : ['umt5', 'bart'];
/** Model that gives the states of a repair, independent of the architecture. */
const states = paired(towers, ['student', 'teacher'] as const);

describe.each(towers)('repair of %s', (name) => {
  const teacher = withLetters(name, join(out, name));

  it.each(states.flatMap(([one, by]) => (one === name ? [by] : [])))(
    'brings compressed layers closer to the original, on pairs and the states of the %s',
    async (states) => {
      const student = await compressed(teacher, `${name}-${states}`, 5);
      const text = { file: pairs, sequences: 12, length: 40 };
      const result = await repair(teacher, student, `${name}-${states}`, { text, states });
      expect(result.written).not.toBeNull();
      expect(result.lossAfter).toBeLessThan(result.lossBefore);
      // Both towers learn, and cross-attention with them.
      const repaired = result.slices.filter((slice) => slice.repaired);
      for (const kind of ['block.0.attention', 'block.2.feedforward', 'block.4.cross-attention']) {
        expect(repaired.map(({ sublayer }) => sublayer)).toContain(kind);
      }
      const { summary } = await openModelFiles(result.written?.path ?? '');
      expect(summary.warnings).toEqual([]);
      expect(result.learned.tokens).toBeGreaterThan(0);
    },
  );

  it('trains a pruned model to replace the removed parts', async () => {
    const removed = ['block.1.feedforward', 'block.2.attention', 'block.4.attention'];
    const { path } = await prune(teacher, removed, join(out, `${name}-pruned`));
    const text = { file: pairs, sequences: 12, length: 40 };
    const result = await repair(teacher, path, `${name}-taught`, { text });
    expect(result.lossAfter).toBeLessThan(result.lossBefore);
    expect(result.written).not.toBeNull();
  });
});

describe('repair of a Whisper model', () => {
  it('learns from recordings', async () => {
    const teacher = withLetters('whisper', join(out, 'whisper'));
    const student = await compressed(teacher, 'whisper', 5);
    const file = join(import.meta.dirname, '../../fixtures/recordings');
    const text = { file, sequences: 2, length: 16 };
    const result = await repair(teacher, student, 'whisper-repaired', { text, epochs: 4 });
    expect(result.learned).toMatchObject({ train: 1, heldOut: 1 });
    expect(result.learned.tokens).toBeGreaterThan(10);
    expect(result.slices).toHaveLength(12);
  });
});

describe.each(['swin', 'convnext', 'pvt'])('repair of %s', (name) => {
  it("brings the stream after compressed layers closer to the original's", async () => {
    const teacher = stagedFixture(name);
    const student = await compressed(teacher, name, 2);
    const text = { file: imagesFor(name), sequences: 8, length: 1 };
    const { slices } = await repair(teacher, student, `${name}-repaired`, { text });
    const { summary } = await openModelFiles(teacher);
    expect(slices.map(({ sublayer }) => sublayer)).toEqual(summary.sublayers.map(({ id }) => id));
    const repaired = slices.filter((slice) => slice.repaired);
    expect(repaired.length).toBeGreaterThan(slices.length / 2);
    for (const { errorBefore, errorAfter } of repaired) {
      expect(errorAfter).toBeLessThan(errorBefore);
    }
  });
});
