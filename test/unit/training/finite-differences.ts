import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { expect } from 'vitest';
import { DataType, GraphBuilder } from '../../../extension/core/onnx/graph-builder';
import type { Dimension, Value } from '../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../extension/core/runtime/session';
import { backward } from '../../../extension/core/training/backward';
import { product, Random } from './random';
import { openSession } from '../whole-session';

/** A function of tensors, emitted into a graph, at a point. */
export interface DifferentiableCase {
  /** Values and shapes of the inputs that the gradient is taken with respect to. */
  readonly inputs: readonly {
    readonly shape: readonly number[];
    readonly values: readonly number[];
  }[];
  readonly emit: (graph: GraphBuilder, inputs: readonly Value[], type: DataType) => Value;
  /** True if the CPU provider has no kernel for float64. */
  readonly single?: boolean;
  /** Largest step; functions that are linear in each input need no small one. */
  readonly step?: number;
  /** True if the rule needs sizes that are known before the graph runs. */
  readonly onlyNumbers?: boolean;
}

/** Declared shapes of the inputs: as numbers, or as unrelated names. */
export type Declared = 'numbers' | 'names';

/**
 * Float32 as the product runs it. ONNX Runtime's fusions are made for float32 (QuickGelu has no other
 * kernel, RMS norms come out wrong in float64), so that float64 runs node by node.
 */
async function open(graph: GraphBuilder, single: boolean): Promise<InferenceSession> {
  if (single) {
    return createSession(graph, { device: 'cpu', prepack: false });
  }
  const model = graph.toBytes(() => ({ location: '', offset: 0 }));
  return openSession(model, { graphOptimizationLevel: 'disabled' });
}

interface Run {
  readonly loss: (values: readonly (readonly number[])[]) => Promise<number>;
  readonly gradients: () => Promise<number[][]>;
  readonly release: () => Promise<void>;
}

/** Emits Σ c · f(inputs) with random c, alone and with its gradient. */
async function prepare(
  example: DifferentiableCase,
  declared: Declared,
  seed: number,
): Promise<Run> {
  const single = example.single === true;
  const type = single ? DataType.FLOAT : DataType.DOUBLE;
  const tensor = (values: readonly number[], shape: readonly number[]): Tensor =>
    single
      ? new Tensor('float32', Float32Array.from(values), shape)
      : new Tensor('float64', Float64Array.from(values), shape);
  const begin = (): { graph: GraphBuilder; inputs: Value[]; output: Value } => {
    const graph = new GraphBuilder('case');
    const inputs = example.inputs.map(({ shape }, i) => {
      const sizes = shape.map((size, axis): Dimension =>
        declared === 'numbers' ? size : `size_${i}_${axis}`,
      );
      return graph.input(`input_${i}`, type, sizes);
    });
    return { graph, inputs, output: example.emit(graph, inputs, type) };
  };
  const feeds = (values: readonly (readonly number[])[]): Record<string, Tensor> =>
    Object.fromEntries(
      example.inputs.map(({ shape }, i) => [`input_${i}`, tensor(values[i] ?? [], shape)]),
    );
  const plain = begin();
  plain.graph.output('y', plain.output, type);
  const values = example.inputs.map((input) => input.values);
  const only = await open(plain.graph, single);
  const { y } = await only.run(feeds(values));
  const dims = y?.dims ?? [];
  const factors = new Random(seed).between(product(dims), -1, 1);

  const trained = begin();
  const { graph, inputs } = trained;
  const shape = dims.map((size, axis) => (declared === 'numbers' ? size : `y_${axis}`));
  const weights = graph.input('factors', type, shape);
  const weighted = graph.op('Mul', [trained.output, weights]);
  const loss = graph.op('ReduceSum', [weighted], { keepdims: 0 });
  const gradients = backward(graph, loss, inputs);
  inputs.forEach((input, i) => {
    graph.output(`gradient_${i}`, gradients.get(input) ?? '', type);
  });
  const session = await open(graph, single);
  const numbers = (result: unknown): number[] => {
    const { data } = result as Tensor;
    return Array.from(data as Float64Array);
  };
  return {
    loss: async (at) => {
      const found = numbers((await only.run(feeds(at)))['y']);
      return found.reduce((sum, value, i) => sum + value * (factors[i] ?? 0), 0);
    },
    gradients: async () => {
      const found = await session.run({ ...feeds(values), factors: tensor(factors, dims) });
      return example.inputs.map((_, i) => numbers(found[`gradient_${i}`]));
    },
    release: async () => {
      await Promise.all([only.release(), session.release()]);
    },
  };
}

/** Most elements of an input whose slope is measured. */
const mostElements = 16;

/**
 * Holds the generated gradient against central differences, extrapolated (Richardson) so that the error
 * is of fourth order in the step. In float64 what is left is below 1e-8 of the largest slope; in float32
 * the rounding of the function itself, 6e-8 over the step, decides.
 */
export async function expectGradient(
  example: DifferentiableCase,
  declared: Declared,
  seed: number,
): Promise<void> {
  const run = await prepare(example, declared, seed);
  try {
    const analytic = await run.gradients();
    const step = example.step ?? (example.single === true ? 0.02 : 1e-3);
    const tolerance = example.single === true ? 2e-3 : 1e-6;
    const values = example.inputs.map((input) => [...input.values]);
    const slope = async (input: number, element: number, h: number): Promise<number> => {
      const at = async (offset: number): Promise<number> =>
        run.loss(
          values.map((list, i) =>
            list.map((value, j) => (i === input && j === element ? value + offset : value)),
          ),
        );
      return ((await at(h)) - (await at(-h))) / (2 * h);
    };
    const random = new Random(seed);
    for (const [input, { shape }] of example.inputs.entries()) {
      const gradient = analytic[input] ?? [];
      expect(gradient.length).toBe(product(shape));
      const largest = Math.max(1, ...analytic.flat().map(Math.abs));
      const count = Math.min(gradient.length, mostElements);
      for (let i = 0; i < count; i++) {
        const element = gradient.length <= mostElements ? i : random.int(0, gradient.length - 1);
        const [wide, narrow] = [
          await slope(input, element, step),
          await slope(input, element, step / 2),
        ];
        const measured = (4 * narrow - wide) / 3;
        const error = Math.abs((gradient[element] ?? Number.NaN) - measured) / largest;
        expect(
          error,
          `input ${input}, element ${element}: ${gradient[element]} for ${measured}`,
        ).toBeLessThan(tolerance);
      }
    }
  } finally {
    await run.release();
  }
}
