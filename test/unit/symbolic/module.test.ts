import type { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { unattended } from '../../../extension/core/jobs/job';
import { DataType } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { floatTensor } from '../../../extension/core/runtime/tensors';
import type { SymbolicGraph } from '../../../extension/core/models/patch/symbolic-graph';
import {
  graphModule,
  createNetwork,
  networkSizes,
} from '../../../extension/core/symbolic/module/network';
import {
  choiceIndices,
  fits,
  moduleModes,
  slotPlace,
  slotCount,
} from '../../../extension/core/models/patch/graph-slots';
import type { Head, NetworkSize } from '../../../extension/core/symbolic/module/network';
import { trainNetwork } from '../../../extension/core/symbolic/module/train-network';
import { randomGraph } from '../../../extension/core/symbolic/random-graph';
import { drawSplits } from '../../../extension/core/symbolic/raven/splits';
import { backward } from '../../../extension/core/training/backward';
import { BuiltModel } from '../../../extension/core/training/built-model';
import { exportedOutput, exportModel } from '../../../extension/core/training/checkpoint';
import { Random } from '../training/random';
import { plainModule, plainNetwork } from './plain-network';
import type { Weights } from './plain-network';
import { openSession } from '../whole-session';

/** Vector 5 of the archived programs: a spider of five nodes. */
const spider: SymbolicGraph = {
  nodes: [0, 1, 3, 5, 7],
  edges: [
    { id: 2, port: 0, ends: [0, 1] },
    { id: 4, port: 1, ends: [1, 3] },
    { id: 6, port: 1, ends: [0, 5] },
    { id: 8, port: 2, ends: [0, 7] },
  ],
  nextId: 9,
};
/** Two edges between the same nodes, at different ports. */
const doubled: SymbolicGraph = {
  nodes: [0, 1],
  edges: [
    { id: 2, port: 0, ends: [0, 1] },
    { id: 3, port: 4, ends: [0, 1] },
  ],
  nextId: 4,
};

/** Small enough for numbers to be computed plainly, with everything that the sizes differ in. */
const tiny: NetworkSize = {
  encoder: {
    ...{ imageSize: 8, patch: 2, width: 8, convolutionBlocks: 2 },
    ...{ transformerBlocks: 2, heads: 2, headSize: 6, hidden: 10 },
  },
  features: 16,
};

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

async function readWeights(model: BuiltModel): Promise<Weights> {
  const tensors = await model.initial();
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, Array.from(data as Float32Array)]),
  );
}

async function runExported(
  bytes: Uint8Array,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<number[]> {
  const session = await openSession(bytes);
  const outputs = await session.run(feeds);
  await session.release();
  return Array.from(outputs[exportedOutput]?.data as Float32Array);
}

function expectClose(
  actual: readonly number[],
  expected: readonly number[],
  tolerance: number,
): void {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(1, ...expected.map(Math.abs));
  actual.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] ?? Number.NaN)) / scale).toBeLessThan(tolerance);
  });
}

describe('Slots of a graph', () => {
  it('are one for each node and edge, or one more for each edge as the released code has', () => {
    expect(slotCount(spider, 'clean')).toBe(9);
    expect(slotCount(spider, 'compat')).toBe(13);
    expect(fits(spider, 'compat', 12)).toBe(false);
    expect(fits(spider, 'clean', 12)).toBe(true);
    expect(() => choiceIndices([0], 13, 12)).toFailWith({ code: 'graph-slots-mismatch' });
  });

  it('cut the input into slices, and the first has the remainder', () => {
    expect(choiceIndices([0, 1, 2], 3, 8)).toEqual([
      [0, 1, 2, 3, 0, 1, 2, 3],
      [4, 5, 4, 5, 4, 5, 4, 5],
      [6, 7, 6, 7, 6, 7, 6, 7],
    ]);
  });

  it('have places by id and column, scrambled as the released code scrambles them', () => {
    const compat = (id: number, column: number) => slotPlace(id, column, 4, 'compat');
    expect([compat(0, 0), compat(1, 0), compat(2, 1)]).toEqual([
      [0, 0],
      [3, 2],
      [3, 5],
    ]);
    expect(slotPlace(2, 1, 4, 'clean')).toEqual([2, 1]);
  });
});

describe('Networks', () => {
  it('have the number of parameters of the published ones', () => {
    const count = (size: NetworkSize, head: Head): number =>
      createNetwork(size, head, 1).parameters.reduce((sum, { shape }) => sum + product(shape), 0);
    const { paper, small } = networkSizes;
    const graph: Head = { kind: 'graph', graph: spider, mode: 'compat' };
    expect(count(paper, { kind: 'linear' })).toBe(3_903_489);
    expect(count(paper, graph)).toBe(4_823_297);
    expect(count(paper, { kind: 'mlp' })).toBe(4_823_297);
    expect(count(small, { kind: 'mlp' })).toBe(count(small, graph));
  });

  it.each(moduleModes)('equal their definition, exported, in mode %s', async (mode) => {
    for (const graph of [spider, doubled]) {
      if (!fits(graph, mode, tiny.features)) {
        throw new Error('the graph is to fit');
      }
      const model = createNetwork(tiny, { kind: 'graph', graph, mode }, 3);
      const weights = await readWeights(model);
      const images = [0, 1].map((seed) => new Random(seed).normals(64));
      const image = floatTensor(Float32Array.from(images.flat()), [2, 1, 8, 8]);
      const bytes = exportModel(model, await model.initial());
      const logits = await runExported(bytes, { image });
      const plain = images.flatMap((one) => plainNetwork(weights, tiny.encoder, graph, mode, one));
      expectClose(logits, plain, 1e-4);
    }
  });

  it.each(moduleModes)('have the gradient of their definition, in mode %s', async (mode) => {
    const head: Head = { kind: 'graph', graph: spider, mode };
    const model = createNetwork(tiny, head, 5);
    const weights = await readWeights(model);
    const { graph, output } = model.forward('evaluate');
    const loss = graph.op('ReduceSum', [output.value], { keepdims: 0 });
    const names = model.parameters.map(({ name }) => name);
    const gradients = backward(graph, loss, names);
    names.forEach((name, i) => {
      graph.output(`gradient_${i}`, gradients.get(name) ?? '', DataType.FLOAT);
    });
    const session = await createSession(graph, { device: 'cpu', prepack: false });
    const image = new Random(2).normals(64);
    const found = await session.run({
      ...(await model.initial()),
      image: floatTensor(Float32Array.from(image), [1, 1, 8, 8]),
    });
    await session.release();
    const random = new Random(8);
    for (const [i, name] of names.entries()) {
      const gradient = Array.from(found[`gradient_${i}`]?.data as Float32Array);
      const largest = Math.max(1e-3, ...gradient.map(Math.abs));
      for (let element = 0; element < 3; element++) {
        const at = random.int(0, gradient.length - 1);
        const step = 1e-5;
        const [up = 0, down = 0] = [step, -step].map((offset) => {
          const moved = [...(weights[name] ?? [])];
          moved[at] = (moved[at] ?? 0) + offset;
          const changed = { ...weights, [name]: moved };
          return plainNetwork(changed, tiny.encoder, spider, mode, image)[0];
        });
        const slope = (up - down) / (2 * step);
        const error = Math.abs((gradient[at] ?? Number.NaN) - slope) / largest;
        expect(error, `${name}[${at}]: ${gradient[at]} for ${slope}`).toBeLessThan(2e-3);
      }
    }
  });

  it('map rows to rows without an encoder', async () => {
    const random = seededRandom(4);
    for (let count = 2; count < 7; count++) {
      const graph = randomGraph(count, 2, random);
      const model = new BuiltModel(
        { name: 'x', shape: ['rows', 64] },
        graphModule(graph, { mode: 'clean', outputs: 5 }),
        count,
      );
      const rows = [0, 1, 2].map((seed) => new Random(seed).normals(64));
      const x = floatTensor(Float32Array.from(rows.flat()), [3, 64]);
      const found = await runExported(exportModel(model, await model.initial()), { x });
      const weights = await readWeights(model);
      const plain = rows.flatMap((row) => plainModule(weights, '', graph, 'clean', row));
      expectClose(found, plain, 1e-5);
    }
  });
});

describe('trainNetwork', async () => {
  const data = { mode: 'balanced', size: 8, seed: 1, train: 24, validation: 30, test: 20 } as const;
  const splits = await drawSplits(data, unattended);
  const head: Head = { kind: 'graph', graph: spider, mode: 'clean' };
  const train = async (seed: number) =>
    trainNetwork(createNetwork(tiny, head, seed), splits, { epochs: 3, seed }, unattended);

  it('follows from the seed to the bit, dropout included', async () => {
    const [first, second, other] = [await train(1), await train(1), await train(2)];
    expect(second).toEqual(first);
    expect(other.weights['module.readout.weight']?.data).not.toEqual(
      first.weights['module.readout.weight']?.data,
    );
  });

  it('measures the exported network', async () => {
    const { metrics, weights } = await train(3);
    const network = createNetwork(tiny, head, 3);
    const bytes = exportModel(network, weights);
    for (const name of ['train', 'validation', 'test'] as const) {
      const split = splits[name];
      const { images, labels } = split.batch(Array.from({ length: split.size }, (_, i) => i));
      const logits = await runExported(bytes, { image: images });
      const right = logits.filter((logit, i) => logit > 0 === (labels.data[i] === 1)).length;
      expect(metrics[name]).toBe(right / split.size);
    }
    expect(metrics.training).toBeGreaterThan(0);
  });

  it('fits its training data', async () => {
    const network = createNetwork(tiny, { kind: 'linear' }, 1);
    const { metrics } = await trainNetwork(network, splits, { epochs: 80, seed: 1 }, unattended);
    expect(metrics.train).toBeGreaterThan(0.9);
  });
});
