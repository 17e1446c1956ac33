import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Linear } from '../../models/parts/linear';
import type { Norm, NormStyle } from '../../models/parts/norm';
import type { Wiring } from '../../models/modules/wiring';
import { partTensors } from '../../models/transformer/part-tensors';
import type { Dimension } from '../../onnx/graph-builder';
import { say, verbatim } from '../../message';
import type { Message } from '../../message';
import type { FlowBuilder, Wire } from './flow-builder';
import type { FlowGroup, FlowItem, FlowKind } from './flow-document';

const normNames: Readonly<Record<NormStyle['kind'], Message>> = {
  rms: say`RMS norm`,
  'rms-offset': say`RMS norm`,
  layer: say`Layer norm`,
  'layer-without-bias': say`Layer norm`,
  'layer-offset': say`Layer norm`,
};

/** Operations of one sublayer, in order. */
export class BranchBuilder {
  public readonly items: FlowItem[] = [];

  public constructor(
    private readonly flow: FlowBuilder,
    public readonly id: string,
  ) {}

  public add(
    name: string,
    kind: FlowKind,
    label: Message,
    inputs: readonly Wire[],
    options: {
      readonly shape?: readonly Dimension[];
      readonly detail?: Message | undefined;
      readonly tensors?: readonly (LazyTensor | undefined)[];
    } = {},
  ): Wire {
    const id = `${this.id}/${name}`;
    const { shape = inputs[0]?.shape ?? [], ...others } = options;
    this.items.push(this.flow.node(id, { label, kind, inputs, ...others }));
    return { from: id, shape };
  }

  /** x·W + b: the last size becomes that of the output. */
  public linear(name: string, label: Message, input: Wire, linear: Linear, width?: number): Wire {
    const { weight, transposed } = linear;
    const out = width ?? (transposed === true ? weight.shape.at(-1) : weight.shape[0]) ?? '?';
    return this.add(name, 'weights', label, [input], {
      shape: [...input.shape.slice(0, -1), out],
      tensors: partTensors(linear),
    });
  }

  /** Norms one after the other. */
  public norms(name: string, style: NormStyle, input: Wire, norms: readonly Norm[] = []): Wire {
    return norms.reduce(
      (x, norm, i) => this.norm(i === 0 ? name : `${name}-${i}`, style, x, norm),
      input,
    );
  }

  /** The input itself where there is no norm. */
  public norm(name: string, style: NormStyle, input: Wire, norm: Norm | undefined): Wire {
    return norm === undefined
      ? input
      : this.add(name, 'norm', normNames[style.kind], [input], { tensors: partTensors(norm) });
  }

  public scale(name: string, input: Wire, factor: number): Wire {
    return factor === 1
      ? input
      : this.add(name, 'combine', verbatim(`× ${Number(factor.toPrecision(4))}`), [input]);
  }

  /** What a branch goes through in front of the sum. */
  public ending(
    { norm, residualScale }: { readonly norm: NormStyle; readonly residualScale: number },
    x: Wire,
    { postNorm, layerScale }: Wiring,
  ): Wire {
    const normed = this.norm('post-norm', norm, x, postNorm);
    const scaled =
      layerScale === undefined
        ? normed
        : this.add('layer-scale', 'combine', say`× by channel`, [normed], {
            tensors: [layerScale],
          });
    return this.scale('scale', scaled, residualScale);
  }

  /** x · σ(gate(input)) */
  public gate(name: string, input: Wire, x: Wire, gate: Linear): Wire {
    const logits = this.linear(name, say`Gate`, input, gate);
    const open = this.add(`${name}-sigmoid`, 'operator', verbatim('sigmoid'), [logits]);
    return this.add(`${name}-product`, 'combine', verbatim('×'), [x, open]);
  }

  public group(label: Message, detail?: Message): FlowGroup {
    const own = detail === undefined ? {} : { detail };
    return { id: this.id, kind: 'sublayer', row: this.id, label, children: this.items, ...own };
  }
}
