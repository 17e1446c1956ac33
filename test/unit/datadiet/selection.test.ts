import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { labelIssues } from '../../../extension/core/datadiet/scores/run-summary';
import {
  auroc,
  flipLabels,
  holdOut,
  policies,
  selectExamples,
} from '../../../extension/core/datadiet/subsets/selection';
import { bareScores } from '../../../extension/core/datadiet/scores/score-document';
import {
  readSelection,
  selectionDocument,
  writeSelection,
} from '../../../extension/core/datadiet/subsets/selection-document';
import { int64Npy } from '../data/npy-file';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const scores = Float64Array.of(5, 1, Infinity, 3, 2, 4, 0, 6);
const labels = Int32Array.of(0, 0, 0, 0, 1, 1, 1, 2);

describe('a selection', () => {
  it('keeps the highest scores, or a window after them', () => {
    const request = { keep: 0.25, balanced: false, seed: 0 } as const;
    expect([...selectExamples(scores, undefined, { ...request, policy: 'max' })]).toEqual([2, 7]);
    const window = { ...request, policy: 'window', offset: 0.25 } as const;
    expect([...selectExamples(scores, undefined, window)]).toEqual([0, 5]);
  });

  it('keeps the same share of every class, and the only example of one', () => {
    const request = { keep: 0.5, policy: 'max', balanced: true, seed: 0 } as const;
    expect([...selectExamples(scores, labels, request)]).toEqual([0, 2, 4, 5, 7]);
    expect(() => selectExamples(scores, undefined, request)).toFailWith({
      code: 'classes-missing',
      field: 'labels',
    });
  });

  it.each([
    [{ keep: 0, policy: 'max' }, 'keep-invalid', 'keep'],
    [{ keep: 1.5, policy: 'random' }, 'keep-invalid', 'keep'],
    [{ keep: 0.5, policy: 'window' }, 'offset-missing', 'offset'],
    [{ keep: 0.5, policy: 'window', offset: 0.6 }, 'offset-invalid', 'offset'],
    [{ keep: 0.5, policy: 'window', offset: -0.1 }, 'offset-invalid', 'offset'],
  ] as const)('%j is refused', (request, code, field) => {
    expect(() =>
      selectExamples(scores, labels, { balanced: true, seed: 0, ...request }),
    ).toFailWith({ code, field });
  });

  it('has ascending indices without repetition, the requested number of those given', () => {
    const examples = fc.array(
      fc.record({ score: fc.integer({ min: 0, max: 3 }), label: fc.integer({ min: 0, max: 2 }) }),
      { minLength: 1, maxLength: 40 },
    );
    fc.assert(
      fc.property(
        examples,
        fc.double({ min: 0.05, max: 0.5, noNaN: true }),
        fc.constantFrom(...policies),
        fc.boolean(),
        fc.nat(9),
        (all, keep, policy, balanced, seed) => {
          const among = Int32Array.from(all.keys()).filter((i) => i % 3 !== 1);
          const chosen = selectExamples(
            Float64Array.from(all, ({ score }) => score),
            Int32Array.from(all, ({ label }) => label),
            { keep, policy, balanced, seed, offset: 0.3 },
            among,
          );
          expect([...chosen]).toEqual([...new Set(chosen)].sort((a, b) => a - b));
          expect([...chosen].every((index) => among.includes(index))).toBe(true);
          const byClass = [0, 1, 2].map(
            (label) => [...among].filter((index) => all[index]?.label === label).length,
          );
          const expected = balanced
            ? byClass
                .filter((count) => count > 0)
                .reduce((sum, count) => sum + Math.max(1, Math.round(count * keep)), 0)
            : Math.round(among.length * keep);
          expect(chosen).toHaveLength(expected);
        },
      ),
    );
  });

  it('is written with counts of classes, and read again; .npy has the indices alone', async () => {
    const request = { keep: 0.5, policy: 'window', offset: 0.1, balanced: true, seed: 3 } as const;
    const indices = selectExamples(scores, labels, request);
    const scored = { ...bareScores('el2n', [...scores]), classNames: ['cat', 'dog', 'owl'] };
    const dataset = { path: '/data', name: 'data', fingerprint: 'f' };
    const document = selectionDocument({ ...scored, dataset }, labels, request, indices);
    expect(document.classes).toEqual([
      { name: 'cat', examples: 4, kept: 2 },
      { name: 'dog', examples: 3, kept: 2 },
      { name: 'owl', examples: 1, kept: 1 },
    ]);
    for (const name of ['a.json', 'a.npy']) {
      const path = join(folder, name);
      await writeSelection(path, document);
      const read = await readSelection(path, 8);
      expect([...read.indices]).toEqual([...indices]);
      expect(read.fingerprint).toBe(name === 'a.json' ? 'f' : undefined);
      await expect(readSelection(path, 7)).rejects.toFailWith({
        code: 'example-index-invalid',
        file: name,
        field: 'index 4',
      });
    }
    writeFileSync(join(folder, 'bad.npy'), int64Npy([2], [0, -1]));
    await expect(readSelection(join(folder, 'bad.npy'), 8)).rejects.toFailWith({
      code: 'example-index-invalid',
      file: 'bad.npy',
      field: 'index 1',
    });
    writeFileSync(join(folder, 'bad.json'), '{"format": "espalier.selection"}');
    await expect(readSelection(join(folder, 'bad.json'), 8)).rejects.toFailWith({
      code: 'field-invalid',
      file: 'bad.json',
      field: 'indices',
    });
  });
});

describe('label noise', () => {
  it('relabels a known share of examples, the same for a seed', () => {
    const many = Int32Array.from({ length: 1000 }, (_, i) => i % 4);
    const { labels: noisy, flipped } = flipLabels(many, 4, 0.1, 7);
    expect(flipped.reduce((sum, one) => sum + one, 0)).toBe(100);
    noisy.forEach((label, i) => {
      expect(label !== many[i]).toBe(flipped[i] === 1);
      expect(label >= 0 && label < 4).toBe(true);
    });
    // Every other class is as likely: 100 draws among 12 pairs leave none far out.
    expect(new Set(noisy.filter((_, i) => flipped[i] === 1)).size).toBe(4);
    expect([...flipLabels(many, 4, 0.1, 7).labels]).toEqual([...noisy]);
    expect([...flipLabels(many, 4, 0.1, 8).labels]).not.toEqual([...noisy]);
  });

  it('matches the area under the curve', () => {
    const marked = Uint8Array.of(0, 0, 1, 1);
    expect(auroc(Float64Array.of(1, 2, 3, 4), marked)).toBe(1);
    expect(auroc(Float64Array.of(1, 3, 2, 4), marked)).toBe(0.75);
    expect(auroc(Float64Array.of(1, 1, 1, 1), marked)).toBe(0.5);
    expect(auroc(Float64Array.of(1, 2, 3, 4), Uint8Array.of(0, 0, 0, 0))).toBeUndefined();
  });

  it('is suspected if another class reaches its average probability', () => {
    const issues = labelIssues({
      labels: Int32Array.of(0, 0, 1, 1, 1),
      predicted: Int32Array.of(0, 1, 1, 1, 0),
      given: Float64Array.of(0.9, 0.1, 0.8, 0.6, 0.4),
      largest: Float64Array.of(0.9, 0.9, 0.8, 0.6, 0.45),
      classes: 2,
    });
    // Class 1 has 0.6 on average where it is the label, class 0 has 0.5: 0.9 suffices, 0.45 does not.
    expect(issues).toEqual([0, 1, 0, 0, 0]);
  });
});

describe('examples held out', () => {
  it('are of every class but those with one example', () => {
    const { kept, heldOut } = holdOut(labels, Int32Array.from(labels.keys()), 0.5, 1);
    expect([...heldOut].map((index) => labels[index]).sort()).toEqual([0, 0, 1, 1]);
    expect([...kept, ...heldOut].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect([...kept]).toContain(7);
  });
});
