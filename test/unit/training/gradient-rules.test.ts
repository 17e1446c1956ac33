import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import { OperatorSetIdProtoSchema } from '../../../extension/core/onnx/proto/onnx_pb';
import { createSession } from '../../../extension/core/runtime/session';
import { floatOutput, floatTensor } from '../../../extension/core/runtime/tensors';
import { backward, gradientRules } from '../../../extension/core/training/backward';
import { UserError } from '../../../extension/core/user-error';
import { expectGradient } from './finite-differences';
import { geluForms, gradientCases } from './gradient-cases';
import { Random } from './random';
import { randomRuns } from '../sample';

/** Runs with shapes of numbers, and as many with named ones. */
const numRuns = randomRuns(8, 2);

/** Rules whose operators the others are made of, or that have nothing to measure. */
const provenElsewhere = new Set(['Dropout', 'Gelu', 'Floor', 'Ceil', 'Round']);
/** The first with Gelu. */
const geluOpset = 20n;

describe('gradient rules against finite differences', () => {
  for (const [name, make] of Object.entries(gradientCases)) {
    it(name, async () => {
      for (const declared of ['numbers', 'names'] as const) {
        await fc.assert(
          fc.asyncProperty(fc.integer({ min: 1, max: 1 << 30 }), async (seed) => {
            const example = make(new Random(seed));
            const shapes = example.onlyNumbers === true ? 'numbers' : declared;
            await expectGradient(example, shapes, seed);
          }),
          { numRuns, endOnFailure: true },
        );
      }
    });
  }

  it('has a case for every rule', () => {
    const covered = new Set(Object.keys(gradientCases).map((name) => name.split(',')[0]));
    const open = Object.keys(gradientRules).filter(
      (op) => !covered.has(op) && !provenElsewhere.has(op),
    );
    expect(open).toEqual([]);
  });
});

describe('Gelu, an operator of opset 20', () => {
  it.each(['none', 'tanh'])(
    'has the slope of its formula, approximate = %s',
    async (approximate) => {
      const graph = GraphBuilder.over('gelu', {
        ...{ nodes: [], inputs: [], outputs: [], constants: [], weights: [] },
        opsets: [create(OperatorSetIdProtoSchema, { domain: '', version: geluOpset })],
      });
      const x = graph.input('x', DataType.FLOAT, [9]);
      const y = graph.op('Gelu', [x], { approximate });
      const loss = graph.op('ReduceSum', [y], { keepdims: 0 });
      graph.output('dx', backward(graph, loss, [x]).get(x) ?? '', DataType.FLOAT, [9]);
      graph.output('y', y, DataType.FLOAT, [9]);
      const session = await createSession(graph, { device: 'cpu', prepack: false });
      const run = async (at: Float32Array) => session.run({ x: floatTensor(at, [9]) });
      const points = Float32Array.from({ length: 9 }, (_, i) => (i - 4) * 0.7);
      const slope = floatOutput(await run(points), 'dx');
      const step = 1 / 64;
      const [above, below] = [
        await run(points.map((p) => p + step)),
        await run(points.map((p) => p - step)),
      ];
      slope.forEach((value, i) => {
        const rise = (floatOutput(above, 'y')[i] ?? 0) - (floatOutput(below, 'y')[i] ?? 0);
        expect(value).toBeCloseTo(rise / (2 * step), 3);
      });
      await session.release();
    },
  );
});

describe('GELU in basic operators', () => {
  const emit = (
    form: (typeof geluForms)[string],
    also: (graph: GraphBuilder) => string[] = () => [],
  ) => {
    const graph = new GraphBuilder('gelu');
    const x = graph.input('x', DataType.FLOAT, [3]);
    const y = form(graph, x, (value) => graph.scalar(value));
    const loss = graph.op('ReduceSum', [y], { keepdims: 0 });
    backward(graph, loss, [x, ...also(graph)]);
    return graph.graph.node.filter(({ name }) => name.startsWith('/backward'));
  };

  it.each(Object.entries(geluForms))('has the gradient of one operator: %s', (_, form) => {
    const nodes = emit(form);
    expect(nodes.filter(({ opType }) => opType === 'HardSigmoid')).toHaveLength(1);
    expect(nodes.filter(({ opType }) => opType === 'Sum')).toEqual([]);
  });

  it('has the gradient of its nodes if one of their values is a target too', () => {
    for (const form of Object.values(geluForms)) {
      const nodes = emit(form, ({ graph }) =>
        graph.node.flatMap(({ opType, output }) => (opType === 'Erf' ? output : [])),
      );
      expect(nodes.filter(({ opType }) => opType === 'HardSigmoid')).toEqual([]);
    }
  });
});

describe('backward', () => {
  it('names node and operator if there is no rule', () => {
    const graph = new GraphBuilder('test');
    const x = graph.input('x', DataType.FLOAT, [2, 2]);
    const loss = graph.op('ReduceSum', [graph.op('Det', [x])], { keepdims: 0 });
    expect(() => backward(graph, loss, [x])).toThrow(UserError);
    expect(() => backward(graph, loss, [x])).toFailWith({
      code: 'gradient-missing',
      field: '/Det_0',
    });
  });

  it('needs no rule for nodes without trained inputs', () => {
    const graph = new GraphBuilder('test');
    const [x, w] = [graph.input('x', DataType.FLOAT, [2, 2]), graph.input('w', DataType.FLOAT, [])];
    const product = graph.op('Mul', [graph.op('Det', [x]), w]);
    const loss = graph.op('ReduceSum', [product], { keepdims: 0 });
    expect([...backward(graph, loss, [w]).keys()]).toEqual(['w']);
  });
});
