import { DataType } from '../onnx/graph-builder';
import { createSession } from '../runtime/session';
import { floatOutput, floatTensor } from '../runtime/tensors';
import type { Tensor, Tensors } from '../runtime/tensors';
import type { TrainableModel } from '../training/trainable-model';
import { emitGradientGram } from './scores/gradient-norms';

const [kernel, direction] = ['tangent_kernel', 'logit_direction'] as const;

/**
 * Neural tangent kernel of a model's logits, K(x, x') = Σ over classes c of ⟨∇f_c(x), ∇f_c(x')⟩: the trace over classes
 * of the kernel of Jacot et al. 2018 (arXiv 1806.07572), at the current weights.
 */
export class TangentKernel {
  private constructor(
    private readonly session: Awaited<ReturnType<typeof createSession>>,
    private readonly classes: number,
  ) {}

  /** @throws UserError if an operator has no gradient, or none per example. */
  public static async create(model: TrainableModel, classes: number): Promise<TangentKernel> {
    const { graph, output } = model.forward('evaluate');
    const weights = graph.input(direction, DataType.FLOAT, [classes, 1]);
    const column = graph.op('MatMul', [output.value, weights]);
    const value = graph.op('Squeeze', [column, graph.ints([1])]);
    const batch = output.shape.slice(0, 1);
    const names = model.parameters.map(({ name }) => name);
    const gram = emitGradientGram(graph, { value, shape: batch }, names);
    graph.output(kernel, gram, DataType.FLOAT, [...batch, ...batch]);
    const session = await createSession(graph, { device: 'cpu', prepack: true });
    return new TangentKernel(session, classes);
  }

  /** Kernel of a batch of n examples, n · n values. */
  public async of(inputs: Tensors, parameter: (name: string) => Tensor): Promise<Float64Array> {
    let sum: Float64Array | undefined;
    for (let label = 0; label < this.classes; label++) {
      const unit = new Float32Array(this.classes);
      unit[label] = 1;
      const given: Tensors = { ...inputs, [direction]: floatTensor(unit, [this.classes, 1]) };
      const feeds = this.session.inputNames.map(
        (name) => [name, given[name] ?? parameter(name)] as const,
      );
      const one = floatOutput(await this.session.run(Object.fromEntries(feeds)), kernel);
      const before = sum ?? new Float64Array(one.length);
      sum = before.map((value, i) => value + (one[i] ?? 0));
    }
    return sum ?? new Float64Array(0);
  }

  public async dispose(): Promise<void> {
    await this.session.release();
  }
}

/** Change of a kernel as 1 − cosine (Paul et al. 2021, § 5; Fort et al. 2020, arXiv 2010.15110). */
export function kernelVelocity(before: Float64Array, after: Float64Array): number {
  let [product, squares, others] = [0, 0, 0];
  before.forEach((a, i) => {
    const b = after[i] ?? 0;
    product += a * b;
    squares += a * a;
    others += b * b;
  });
  return 1 - product / Math.sqrt(squares * others);
}
