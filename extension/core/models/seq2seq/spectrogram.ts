import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Positions } from '../modules/word-embedding';
import { emitActivation } from '../parts/activations';
import type { Linear } from '../parts/linear';
import { emitNorms } from '../parts/norm';
import type { Norm, NormStyle } from '../parts/norm';
import { emitWeight } from '../parts/weight';
import { partTensors, storedTensors } from '../transformer/part-tensors';

/** Prologue of a spectrogram: convolutions of width 3, the second with stride 2, and positions (Whisper). */
export class SpectrogramEmbedding {
  public constructor(
    private readonly convolutions: readonly Linear[],
    private readonly positions: Positions | undefined,
    private readonly norms: readonly Norm[],
    private readonly style: NormStyle,
  ) {}

  private get positionTables(): readonly LazyTensor[] {
    const { positions } = this;
    return positions !== undefined && 'weight' in positions ? [positions.weight] : [];
  }

  /** Every tensor, as stored. */
  public get tensors(): readonly LazyTensor[] {
    return [
      ...this.convolutions.flatMap((convolution) => storedTensors(convolution)),
      ...this.positionTables,
      ...this.norms.flatMap((norm) => partTensors(norm)),
    ];
  }

  /** Emits the first hidden states of `features` [batch, channels, frames]. */
  public emit(graph: GraphBuilder, features: Value): Value {
    const heard = graph.step('convolutions', () =>
      this.convolutions.reduce(
        (x, convolution, i) => emitConvolution(graph, convolution, i + 1, x),
        features,
      ),
    );
    const frames = graph.op('Transpose', [heard], { perm: [0, 2, 1] });
    const placed = this.positionTables.reduce(
      (x, table) => graph.op('Add', [x, emitWeight(graph, table)]),
      frames,
    );
    return emitNorms(graph, this.style, placed, this.norms);
  }
}

/** Emits a convolution of width 3 over [batch, channels, frames], and GELU. */
function emitConvolution(
  graph: GraphBuilder,
  { weight, bias }: Linear,
  stride: number,
  x: Value,
): Value {
  const added = bias === undefined ? [] : [emitWeight(graph, bias)];
  const sum = graph.op('Conv', [x, emitWeight(graph, weight), ...added], {
    kernel_shape: [3],
    pads: [1, 1],
    strides: [stride],
  });
  return emitActivation(graph, 'gelu', sum);
}
