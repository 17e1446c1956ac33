import { DataType } from '../../onnx/graph-builder';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import { createSession, maySpin } from '../../runtime/session';
import { floatOutput } from '../../runtime/tensors';
import type { Tensor, Tensors } from '../../runtime/tensors';
import { lossInputs } from '../../training/losses';
import type { ShapedValue } from '../../training/losses';
import type { TrainableModel } from '../../training/trainable-model';
import { emitGradientNorms } from './gradient-norms';

/** Label value that is excluded from the loss. */
const ignoredLabel = -100;
const output = 'gradient_norm_squares';

/**
 * Emits the cross-entropy of each example, float32 [batch]: of its single label, or the mean over its labels that are
 * not ignored (tokens of a text). Labels become a graph input.
 */
export function emitExampleLosses(graph: GraphBuilder, { value, shape }: ShapedValue): ShapedValue {
  const labels = graph.input(lossInputs.labels, DataType.INT64, shape.slice(0, -1));
  const counts = graph.op('Not', [graph.op('Equal', [labels, graph.ints([ignoredLabel], [])])]);
  const zero = graph.ints([0], []);
  const index = graph.op('Unsqueeze', [
    graph.op('Where', [counts, labels, zero]),
    graph.ints([-1]),
  ]);
  const logProbabilities = graph.op('LogSoftmax', [value], { axis: -1 });
  const chosen = graph.op('GatherElements', [logProbabilities, index], { axis: -1 });
  const weights = graph.op('Cast', [counts], { to: DataType.FLOAT });
  const losses = graph.op('Neg', [
    graph.op('Mul', [graph.op('Squeeze', [chosen, graph.ints([-1])]), weights]),
  ]);
  const batch = shape.slice(0, 1);
  const axes = shape.slice(1, -1).map((_, i) => i + 1);
  if (axes.length === 0) {
    return { value: losses, shape: batch };
  }
  const sum = (x: Value): Value => graph.reduce('ReduceSum', x, axes, 0);
  const number = graph.op('Max', [sum(weights), graph.scalar(1)]);
  return { value: graph.op('Div', [sum(losses), number]), shape: batch };
}

/**
 * GraNd of each example: norm of the gradient of its loss over all parameters, with batch norms in inference mode. At
 * initialization it is about the norm of the input and no better than random selection (replication by BlackHC); use it
 * after some training.
 */
export class GradientNormScorer {
  private constructor(private readonly session: Awaited<ReturnType<typeof createSession>>) {}

  /**
   * Creates a scorer.
   * @param threads threads of its session; by default one per core
   * @throws UserError if an operator has no gradient, or no gradient norm per example.
   */
  public static async create(model: TrainableModel, threads?: number): Promise<GradientNormScorer> {
    const forward = model.forward('evaluate');
    const losses = emitExampleLosses(forward.graph, forward.output);
    const names = model.parameters.map(({ name }) => name);
    const norms = emitGradientNorms(forward.graph, losses, names);
    forward.graph.output(output, norms, DataType.FLOAT, losses.shape);
    const options = {
      ...({ device: 'cpu', prepack: true, spin: maySpin() } as const),
      ...(threads === undefined ? {} : { threads }),
    };
    return new GradientNormScorer(await createSession(forward.graph, options));
  }

  /** Scores a batch of inputs and labels with a model's parameters. */
  public async score(batch: Tensors, parameter: (name: string) => Tensor): Promise<Float64Array> {
    const feeds = this.session.inputNames.map(
      (name) => [name, batch[name] ?? parameter(name)] as const,
    );
    const squares = floatOutput(await this.session.run(Object.fromEntries(feeds)), output);
    return Float64Array.from(squares, Math.sqrt);
  }

  public async dispose(): Promise<void> {
    await this.session.release();
  }
}
