import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataType } from '../../../extension/core/onnx/graph-builder';
import {
  emitExampleLosses,
  GradientNormScorer,
} from '../../../extension/core/datadiet/scores/gradient-norm-scorer';
import { emitGradientGram } from '../../../extension/core/datadiet/scores/gradient-norms';
import {
  contiguousGroups,
  studyGroups,
  kernelVelocity,
  TangentKernel,
} from '../../../extension/core/datadiet/subsets/group-study';
import { bareScores } from '../../../extension/core/datadiet/scores/score-document';
import { defaultTraining } from '../../../extension/core/datadiet/training/training-settings';
import { unattended } from '../../../extension/core/jobs/job';
import { createSession } from '../../../extension/core/runtime/session';
import { floatOutput, floatTensor, int64Tensor } from '../../../extension/core/runtime/tensors';
import { BuiltModel } from '../../../extension/core/training/built-model';
import {
  activation,
  batchNorm,
  conv2d,
  dense,
  flatten,
  sequential,
} from '../../../extension/core/training/layers';
import { Random } from '../training/random';
import { temporaryFolder } from '../temporary-folder';
import { cloudsTable, toyPath } from './toy-data';

const folder = temporaryFolder();

describe('the tangent kernel', () => {
  it('of a linear model is classes · (x·x′ + 1)', async () => {
    const model = new BuiltModel({ name: 'x', shape: ['batch', 2] }, dense(3), 1);
    const weights = await model.initial();
    const kernel = await TangentKernel.create(model, 3);
    const x = floatTensor(Float32Array.of(1, 2, -1, 0, 3, 1), [3, 2]);
    const values = await kernel.of({ x }, (name) => weights[name] ?? x);
    [6, 0, 6, 0, 2, -2, 6, -2, 11].forEach((value, i) => {
      expect(values[i]).toBeCloseTo(3 * value, 4);
    });
    await kernel.dispose();
  });

  it('has the squared gradient norms on its diagonal, and sums of gradients besides', async () => {
    const layers = sequential([conv2d(3, 3), batchNorm(), activation('relu'), flatten, dense(3)]);
    const model = new BuiltModel({ name: 'x', shape: ['batch', 1, 4, 4] }, layers, 1);
    const random = new Random(1);
    const x = floatTensor(Float32Array.from(random.normals(48)), [3, 1, 4, 4]);
    const batch = { x, labels: int64Tensor([0, 2, 1], [3]) };
    const weights = await model.initial();
    const parameter = (name: string) => weights[name] ?? x;
    const { graph, output } = model.forward('evaluate');
    const losses = emitExampleLosses(graph, output);
    const names = model.parameters.map(({ name }) => name);
    graph.output('gram', emitGradientGram(graph, losses, names), DataType.FLOAT, [
      'batch',
      'batch',
    ]);
    const session = await createSession(graph, { device: 'cpu', prepack: true });
    const feeds = Object.fromEntries(
      session.inputNames.map((name) => [
        name,
        name in batch ? batch[name as 'x'] : parameter(name),
      ]),
    );
    const gram = floatOutput(await session.run(feeds), 'gram');
    const scorer = await GradientNormScorer.create(model);
    const norms = await scorer.score(batch, parameter);
    norms.forEach((norm, i) => {
      expect(gram[4 * i]).toBeCloseTo(norm ** 2, 4);
    });
    // ‖Σ gᵢ‖² is the sum of all pairs, and at most n Σ ‖gᵢ‖².
    const total = gram.reduce((sum, value) => sum + value, 0);
    expect(total).toBeGreaterThan(0);
    expect(total).toBeLessThan(3 * norms.reduce((sum, norm) => sum + norm ** 2, 0));
    expect(gram[1]).toBeCloseTo(gram[3] ?? 0, 5);
    await Promise.all([session.release(), scorer.dispose()]);
  });

  it('turns by an angle', () => {
    const [a, b] = [Float64Array.of(1, 0, 0, 1), Float64Array.of(0, 1, 1, 0)];
    expect(
      kernelVelocity(
        a,
        a.map((value) => 7 * value),
      ),
    ).toBeCloseTo(0, 12);
    expect(kernelVelocity(a, b)).toBe(1);
    expect(kernelVelocity(a, Float64Array.of(1, 1, 1, 1))).toBeCloseTo(1 - Math.SQRT1_2, 12);
  });
});

describe('groups of examples of about the same score', () => {
  it('are spread evenly from the lowest to the highest', () => {
    const groups = contiguousGroups(Float64Array.of(5, 1, Infinity, 3, 2), 2, 2);
    expect(groups.map(({ rank, examples }) => [rank, ...examples])).toEqual([
      [0, 1, 4],
      [3, 0, 2],
    ]);
    expect(() => contiguousGroups(Float64Array.of(1, 2), 2, 2)).toFailWith({
      code: 'groups-too-large',
      field: 'groups',
    });
  });

  it('are studied: kernels rotate, and late children of easy examples stay connected', async () => {
    const data = cloudsTable(toyPath(folder, 'clouds.csv'), 240);
    // The distance of a point from the center of its cloud is used as its score.
    const scores = readFileSync(data, 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line, i) => {
        const [x = 0, y = 0] = line.split(',').map(Number);
        const angle = (2 * Math.PI * (i % 3)) / 3;
        return (
          Math.hypot(x - 3 * Math.cos(angle), y - 3 * Math.sin(angle)) - 0.3 * Math.hypot(x, y)
        );
      });
    const request = {
      ...{ data, options: {}, proxy: { model: 'mlp' } },
      training: { ...defaultTraining, batchSize: 16 },
      ...{ epochs: 3, groups: 3, groupSize: 40, spawn: [0, 2], seed: 4 },
    };
    const study = await studyGroups(request, bareScores('distance', scores), unattended);
    expect(study.groups.map(({ rank }) => rank)).toEqual([0, 100, 200]);
    const [easy, , hard] = study.groups;
    expect(easy?.kernelVelocity).toHaveLength(3);
    for (const { kernelVelocity: velocities, errorBarrier } of study.groups) {
      expect(velocities.every((velocity) => velocity > 0 && velocity < 1)).toBe(true);
      expect(errorBarrier).toHaveLength(2);
      expect(errorBarrier.every((barrier) => barrier >= 0 && barrier <= 1)).toBe(true);
    }
    expect(easy?.errorBarrier[1]).toBeLessThan(0.05);
    expect(hard?.meanScore).toBeGreaterThan(easy?.meanScore ?? Infinity);
    await expect(
      studyGroups({ ...request, spawn: [3] }, bareScores('x', scores), unattended),
    ).rejects.toFailWith({ code: 'spawn-epoch-too-late', field: 'spawn' });
    await expect(studyGroups(request, bareScores('x', [1]), unattended)).rejects.toFailWith({
      code: 'score-count-mismatch',
      file: 'clouds.csv',
    });
  });
});
