import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Message } from '../../message';
import type { ExpertMask, GraphPart, LayeredSublayer, Step, TappedStep } from '../layered-model';
import type { Width } from '../width-pruning/width';
import type { CutGraph } from './graph-stages';
import type { GraphWidths } from './heads/graph-widths';
import { lazyTensor } from './matrices/graph-linears';
import type { GraphLinear } from './matrices/graph-linears';
import type { MaskedMixture } from './mixtures/mask-scores';
import { portName } from './onnx-parts';
import type { OnnxParts, Tap } from './onnx-parts';
import type { ResidualBranch } from './stream/residual-stream';
import type { OnnxModel } from './stream/graph-stream';
import type { Shape } from './values/shape-query';

/** Cut graph, with lazily computed properties. */
export interface SublayerContext {
  readonly source: OnnxModel;
  readonly cut: CutGraph;
  readonly parts: OnnxParts;
  readonly widths: GraphWidths;
  readonly linearLayers: (index: number) => readonly GraphLinear[];
  /** Shape of the stream before a branch; undefined if even the rank is unknown. */
  readonly streamShape: (index: number) => Shape | undefined;
}

/** A branch of a graph's residual stream. */
export class GraphSublayer implements LayeredSublayer {
  public readonly part: GraphPart;
  public readonly next: Step['next'];
  public readonly mask?: ExpertMask;
  public readonly skipped: Step;
  public readonly stayingTensors = [];
  public readonly outputTensors = [];
  public readonly expertTensors = undefined;
  public readonly patchModule = undefined;
  private readonly id: string;
  private readonly masked: MaskedMixture | undefined;
  /** Values that the part over the branch makes for later parts. */
  private readonly made: readonly string[];

  public constructor(
    private readonly context: SublayerContext,
    private readonly branch: ResidualBranch,
    private readonly index: number,
  ) {
    const { source, cut, parts } = context;
    this.id = source.summary.sublayers[index]?.id ?? String(index);
    const mixture = source.mixtures.get(index);
    const input = `${this.id}/mask`;
    this.masked = mixture && { mixture, mask: { input, count: mixture.router.count } };
    const after = [...(cut.states[index + 1] ?? [])];
    this.made = after.filter((name) => cut.states[index]?.has(name) !== true);
    this.part = this.partOver(this.id, this.made);
    this.next = Object.fromEntries(after.map(portName).map((name) => [name, name]));
    if (this.masked !== undefined) {
      this.mask = this.masked.mask;
    }
    const { start, sum, end, rest } = branch;
    const others = this.made.filter((name) => name !== sum);
    const left = rest === undefined ? others : [...others, rest];
    const passed = sum === end ? { [portName(end)]: portName(rest ?? start) } : {};
    const next = { ...this.next, ...passed };
    const aliases = new Map([[sum, rest ?? start]]);
    const around = cut.around[index] ?? missing();
    this.skipped =
      left.length === 0
        ? { next }
        : { part: parts.part(`${this.id}.skipped`, around, left, { aliases }), next };
  }

  public get summed(): Step & { readonly part: GraphPart } {
    const { sum, end } = this.branch;
    if (sum === end) {
      return this;
    }
    const { cut, parts } = this.context;
    const made = [...new Set([...this.made, sum])];
    const part = parts.part(`${this.id}.summed`, cut.over[this.index] ?? missing(), made);
    return { part, next: { ...this.next, [portName(end)]: portName(sum) } };
  }

  public get streamNames(): { readonly before: string; readonly after: string } {
    const { start, end } = this.branch;
    return { before: portName(start), after: portName(end) };
  }

  public get tensors(): readonly LazyTensor[] {
    const { source, cut } = this.context;
    return [...(cut.over[this.index]?.weights ?? [])]
      .flatMap((name) => source.file.initializers.get(name) ?? [])
      .flatMap((data) => lazyTensor(data));
  }

  public get linearLayers(): readonly GraphLinear[] {
    return this.context.linearLayers(this.index);
  }

  public get width(): Width | undefined {
    return this.context.widths.of(this.index);
  }

  public get widthProblem(): Message | undefined {
    return this.context.widths.problemOf(this.index);
  }

  public get tapped(): TappedStep {
    const outputs = new Map<string, Tap>();
    const taps = new Map<string, string>();
    for (const { id, products, in: width } of this.linearLayers) {
      const values = products.map(({ input, map }) => ({ name: input, map }));
      const key = JSON.stringify(values);
      const tap = outputs.get(key) ?? { output: `tap.${outputs.size}`, values, width };
      outputs.set(key, tap);
      taps.set(id, tap.output);
    }
    const part = this.partOver(`${this.id}.tapped`, this.made, [...outputs.values()]);
    return { part, next: this.next, ...(this.mask === undefined ? {} : { mask: this.mask }), taps };
  }

  public get patchInput(): string {
    return portName(this.branch.start);
  }

  public get patchWidth(): number | undefined {
    const width = this.context.streamShape(this.index)?.at(-1);
    return typeof width === 'number' ? width : undefined;
  }

  private partOver(key: string, made: readonly string[], taps: readonly Tap[] = []): GraphPart {
    const { cut, parts } = this.context;
    const over = cut.over[this.index] ?? missing();
    return parts.part(key, over, made, { masked: this.masked, taps });
  }
}

function missing(): never {
  throw new RangeError('there is no such sublayer');
}
