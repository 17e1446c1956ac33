import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { Message } from '../../message';
import type { Linear } from '../parts/linear';
import { mixerKind } from '../parts/mixers/mixer-form';
import type { MixerForm } from '../parts/mixers/mixer-form';
import type { MixerFinder, MixerInput, MixerParts } from '../parts/mixers/mixer-kind';
import type { Norm } from '../parts/norm';
import type { MixerNames } from '../transformer/architecture';
import type { ModelConfig } from '../transformer/model-config';
import type { TensorFinder } from '../transformer/tensor-finder';
import { SublayerModule } from './sublayer';
import type { BranchInput, RoledLinear, SpecialSide } from './sublayer';
import { findWiring } from './wiring';
import type { BranchShape, Wiring } from './wiring';

/** Sizes shared by every mixer of a model. */
export interface MixerShape extends BranchShape {
  readonly form: MixerForm;
}

/** Weights of one mixer. */
export interface MixerWeights extends Wiring, MixerParts {}

/** An SSM, a linear attention or another layer that carries a state along the sequence. */
export class Mixer extends SublayerModule<MixerWeights, MixerShape> {
  public readonly kind = 'mixer';

  public override get specialSides(): readonly SpecialSide[] {
    return mixerSides(this.shape);
  }

  public override get detail(): Message {
    return mixerKind(this.shape.form).label;
  }

  public get linears(): readonly Linear[] {
    return this.weights.linears;
  }

  protected get roles(): readonly RoledLinear[] {
    const { linears } = this.weights;
    return linears.map((linear, i) => [i === linears.length - 1 ? 'output' : 'other', linear]);
  }

  protected get outputLinears(): readonly Linear[] {
    return this.weights.linears.slice(-1);
  }

  /** Some mixers scale their outputs, or add them to another stream than the one they are behind. */
  protected override get addedLinear(): undefined {
    return undefined;
  }

  protected override get innerNorms(): readonly Norm[] {
    return this.weights.norms;
  }

  protected override get otherTensors(): readonly (LazyTensor | undefined)[] {
    const { convolutions, tensors } = this.weights;
    return [...convolutions.flatMap(({ weight, bias }) => [weight, bias]), ...tensors];
  }

  public mapLinears(map: (linear: Linear) => Linear): this {
    return this.withWeights({ ...this.weights, linears: this.weights.linears.map(map) });
  }

  protected emitBranch(graph: GraphBuilder, normed: Value, { side, options }: BranchInput): Value {
    const { hiddenSize, norm, form } = this.shape;
    const { tokens = '', starts } = side;
    const size = graph.op('Shape', [normed]);
    const leading = graph.op('Slice', [size, graph.ints([0]), graph.ints([2])]);
    const masked = graph.op('Mul', [normed, tokens]);
    const perRow = (value: Value): Value => {
      const all = graph.op('Concat', [leading, graph.ints([1])], { axis: 0 });
      const each = graph.op('Expand', [value, all]);
      return graph.op('Reshape', [each, graph.ints([-1, 1])]);
    };
    const rows = perRow(tokens);
    const input: MixerInput = {
      graph,
      rows: graph.op('Reshape', [masked, graph.ints([-1, hiddenSize])]),
      leading,
      epsilon: norm.epsilon,
      starts: starts === undefined ? '' : perRow(starts),
      mask: (value) => graph.op('Mul', [value, rows]),
      cache: options.cache,
    };
    return graph.op('Reshape', [mixerKind(form).emit(input, form, this.weights), size]);
  }
}

/** Side values that the mixers of a model read. */
export const mixerSides = ({ form }: MixerShape): SpecialSide[] => [
  'tokens',
  ...(mixerKind(form).readsStarts === true ? (['starts'] as const) : []),
];

/** Undefined for a family without mixers. */
export function mixerShape(
  names: MixerNames | undefined,
  config: ModelConfig,
  { hiddenSize, norm, residualScale }: BranchShape,
): MixerShape | undefined {
  return names && { hiddenSize, norm, residualScale, form: names.form(config) };
}

/** SSM or linear-attention weights of the block with this tensor prefix. */
export function findMixer(
  names: MixerNames,
  { form, hiddenSize }: MixerShape,
  tensors: TensorFinder,
  prefix: string,
): MixerWeights {
  const own = names.module === '' ? prefix : `${prefix}${names.module}.`;
  const finder: MixerFinder = {
    hiddenSize,
    linear: (name, out, input, bias = false) => tensors.linear(`${own}${name}`, out, input, bias),
    convolution: (name, channels, kernel, bias) => ({
      weight: tensors.reshaped(`${own}${name}.weight`, [channels, 1, kernel]),
      ...(bias ? { bias: tensors.take(`${own}${name}.bias`, [channels]) } : {}),
    }),
    norm: (name, ...shape) => ({ weight: tensors.reshaped(`${own}${name}.weight`, shape) }),
    rows: (name) => tensors.rows(`${own}${name}`),
    take: (name, shape) => tensors.reshaped(`${own}${name}`, shape),
  };
  return {
    ...findWiring(names.wiring, tensors, prefix, hiddenSize),
    ...mixerKind(form).find(form, finder),
  };
}
