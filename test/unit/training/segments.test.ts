import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it, vi } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { streamWidth } from '../../../extension/core/models/model-emitter';
import { floatsIn, int64Tensor } from '../../../extension/core/runtime/tensors';
import type { Tensor, Tensors } from '../../../extension/core/runtime/tensors';
import {
  segmentEnds,
  stepBytes,
  stepPlan,
  wholeModel,
} from '../../../extension/core/tensornet/repair/whole-model';
import { defaultRepair } from '../../../extension/core/tensornet/repair/repair-settings';
import { formsToTrain } from '../../../extension/core/tensornet/repair/trained-forms';
import { crossEntropy } from '../../../extension/core/training/losses';
import { cutGraph } from '../../../extension/core/training/segments/segmented-pass';
import { Trainer } from '../../../extension/core/training/trainer';
import type { TrainableModel } from '../../../extension/core/training/trainable-model';
import {
  sublayerOutputs,
  trainableTransformer,
} from '../../../extension/core/training/trainable-transformer';
import { fixture, relativeError } from '../fixtures';
import { paired } from '../sample';

const rows = [
  [3, 17, 5, 9, 2, 40],
  [8, 1, 33, 21, 6, 7],
];

function batch(): Tensors {
  const tensor = (of: (row: readonly number[]) => number[]): Tensor =>
    int64Tensor(rows.flatMap(of), [rows.length, rows[0]?.length ?? 0]);
  return {
    input_ids: tensor((row) => [...row]),
    attention_mask: tensor((row) => row.map(() => 1)),
    position_ids: tensor((row) => [...row.keys()]),
    labels: tensor((row) => [...row.slice(1), -100]),
  };
}

/** Losses, gradients of one batch where they are summed, and parameters after the updates of two. */
async function trained(model: TrainableModel, accumulate: number, cuts: readonly string[]) {
  const trainer = await Trainer.create(model, {
    loss: crossEntropy(),
    optimizer: { kind: 'adam' },
    learningRate: { rate: 1e-3 },
    clipNorm: 1,
    seed: 1,
    accumulate,
    cuts,
  });
  try {
    const names = model.parameters.map(({ name }) => name);
    const before = await trainer.lossOf(batch());
    const { loss } = await trainer.train(batch());
    const copies = (of: readonly string[]): Map<string, Float32Array> =>
      new Map(of.map((name) => [name, Float32Array.from(floatsIn(trainer.tensor(name)))]));
    const gradients = copies(accumulate === 1 ? [] : names.map((name) => `gradient/${name}`));
    const { loss: second, gradientNorm } = await trainer.train(batch());
    return { losses: [before, loss, second], gradients, gradientNorm, after: copies(names) };
  } finally {
    await trainer.dispose();
  }
}

const size = (student: LayeredModel) => ({
  student,
  forms: formsToTrain(student, 'all'),
  train: Array.from({ length: 4 }, () => new Int32Array(16)),
  settings: { ...defaultRepair, epochs: 1 },
});

describe('a graph that is cut', () => {
  it.each(paired(['llama-gqa-untied', 'llama-tied-f16', 'gemma3-text'], [1, 2]))(
    'has the gradients of the whole: %s, an update from %i batches',
    async (name, accumulate) => {
      const opened = await openModel(fixture(name));
      const streams = sublayerOutputs(opened);
      // All of the weights, so that matrices that are used twice are among them.
      const whole = await trained(trainableTransformer(opened), accumulate, []);
      const cut = await trained(trainableTransformer(opened), accumulate, streams);
      expect(streams.length).toBeGreaterThan(2);
      whole.losses.forEach((loss, i) => {
        expect(cut.losses[i]).toBeCloseTo(loss, 5);
      });
      expect(cut.gradientNorm).toBeCloseTo(whole.gradientNorm ?? Number.NaN, 4);
      const largest = Math.max(
        ...[...whole.gradients.values()].flat().flatMap((g) => [...g].map(Math.abs)),
      );
      for (const [parameter, gradient] of whole.gradients) {
        const found = cut.gradients.get(parameter) ?? new Float32Array();
        expect(found).toHaveLength(gradient.length);
        gradient.forEach((value, i) => {
          expect(Math.abs((found[i] ?? Number.NaN) - value), parameter).toBeLessThan(
            1e-5 * largest,
          );
        });
      }
      for (const [parameter, numbers] of whole.after) {
        const found = cut.after.get(parameter) ?? new Float32Array();
        // Adam divides by the size of gradients, those of rounding alone included.
        expect(relativeError(found, numbers), parameter).toBeLessThan(0.02);
      }
    },
  );

  it('releases its sessions if it cannot be created', async () => {
    const opened = await openModel(fixture('llama-gqa-untied'));
    const create = vi.spyOn(InferenceSession, 'create');
    const options = {
      loss: () => {
        throw new Error('no memory');
      },
      optimizer: { kind: 'adam' },
      learningRate: { rate: 1e-3 },
      seed: 1,
      cuts: sublayerOutputs(opened),
    } as const;
    await expect(Trainer.create(trainableTransformer(opened), options)).rejects.toThrow(
      'no memory',
    );
    const opening = create.mock.results.map(({ value }) => value as Promise<InferenceSession>);
    const sessions = await Promise.all(opening);
    create.mockRestore();
    expect(sessions.length).toBeGreaterThan(2);
    for (const session of sessions) {
      await expect(session.release()).rejects.toThrow('already disposed');
    }
  });

  it('keeps one state for each segment that memory allows', async () => {
    const student = await openModel(fixture('llama-gqa-untied'));
    const sublayers = student.summary.sublayers.length;
    const given = size(student);
    const { model, streams } = await wholeModel(student, given.forms, 1);
    const { graph } = model.forward('train');
    const trainedNames = model.parameters.map(({ name }) => name);
    const plans = Array.from({ length: sublayers + 1 }, (_, segments) => ({ pieces: 1, segments }));
    for (const { segments } of plans) {
      const ends = segmentEnds(sublayers, segments);
      const cut = cutGraph(
        graph,
        trainedNames,
        ends.flatMap((end) => streams[end] ?? []),
      );
      const remaining = cut.segments.map(({ gives }) =>
        gives.filter((value) => cut.moving.has(value)),
      );
      expect(remaining.flat(), `${segments} segments`).toEqual(ends.map((end) => streams[end]));
      expect(remaining).toHaveLength(segments + 1);
      remaining.flat().forEach((value) => {
        expect(cut.shapeOf(value)?.at(-1)).toBe(streamWidth(student.emitter ?? none()));
      });
    }
  });

  it('is cut only if memory requires it, into the fewest segments', async () => {
    const given = size(await openModel(fixture('llama-gqa-untied')));
    const bytes = (pieces: number, segments: number): number =>
      stepBytes(given, { pieces, segments });
    expect(stepPlan(given, bytes(1, 0))).toEqual({ pieces: 1, segments: 0 });
    expect(stepPlan(given, bytes(1, 0) - 1)).toEqual({ pieces: 2, segments: 0 });
    const whole = bytes(4, 0);
    const found = stepPlan(given, whole - 1);
    expect(found?.segments).toBeGreaterThan(0);
    const { pieces, segments } = found ?? none();
    expect(bytes(pieces, segments)).toBeLessThan(whole);
    for (let fewer = 1; fewer < segments; fewer++) {
      expect(bytes(4, fewer)).toBeGreaterThanOrEqual(whole);
    }
    expect(stepPlan(given, 1000)).toBeUndefined();
  });
});

function none(): never {
  throw new Error('there is none');
}
