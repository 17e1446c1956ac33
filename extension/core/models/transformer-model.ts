import { runnableDTypes } from '../checkpoints/lazy-tensor';
import type { LazyTensor } from '../checkpoints/lazy-tensor';
import { UserError } from '../user-error';
import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { emitAttention } from './attention';
import { emitFeedforward } from './feedforward';
import { emitCausalMask } from './causal-mask';
import type {
  CacheShape,
  KeyValueCache,
  LayeredModel,
  ModelInputs,
  SideValue,
  SideValues,
} from './layered-model';
import { emitLinear, emitRmsNorm, emitRows } from './linear';
import type { ModelSummary } from './model-summary';
import { emitRotaryTables } from './rotary';
import type { TransformerLayout, TransformerSublayer } from './transformer-layout';

/** A decoder-only transformer laid out from a checkpoint, as a residual stream. */
export class TransformerModel implements LayeredModel {
  public constructor(
    public readonly summary: ModelSummary,
    public readonly files: readonly string[],
    private readonly layout: TransformerLayout,
  ) {}

  public get sideValues(): readonly SideValue[] {
    const half = this.layout.attention.rotary.dimensions / 2;
    const tables = ['cos', 'sin'].map((name) => ({
      name,
      shape: ['side_batch', 1, 'sequence', half],
    }));
    const masks = [...this.windows()].map((window) => ({
      name: maskName(window),
      shape: ['side_batch', 1, 'sequence', 'total'],
    }));
    return [...tables, ...masks];
  }

  public emitPrologue(
    graph: GraphBuilder,
    inputs: ModelInputs,
  ): { hidden: Value; side: SideValues } {
    return graph.within('prologue', () => {
      const hidden = emitRows(graph, this.layout.embedding, inputs.inputIds);
      const side: Record<string, Value> = {
        ...emitRotaryTables(graph, this.layout.attention.rotary, inputs.positionIds),
      };
      for (const window of this.windows()) {
        side[maskName(window)] = emitCausalMask(graph, inputs, window);
      }
      return { hidden, side };
    });
  }

  public sideNames(index: number): readonly string[] {
    const sublayer = this.at(index);
    return sublayer.kind === 'attention' ? ['cos', 'sin', maskName(sublayer.slidingWindow)] : [];
  }

  public emitSublayer(
    graph: GraphBuilder,
    index: number,
    hidden: Value,
    side: SideValues,
    past?: KeyValueCache,
  ): { hidden: Value; present?: KeyValueCache } {
    const sublayer = this.at(index);
    return graph.within(`block.${sublayer.block}.${sublayer.kind}`, () => {
      if (sublayer.kind === 'feedforward') {
        const { feedforward } = this.layout;
        return { hidden: emitFeedforward(graph, feedforward, sublayer.weights, hidden) };
      }
      const { cos = '', sin = '', [maskName(sublayer.slidingWindow)]: mask = '' } = side;
      const { attention } = this.layout;
      return emitAttention(graph, attention, sublayer.weights, hidden, { cos, sin, mask }, past);
    });
  }

  public cacheShape(index: number): CacheShape | undefined {
    const { numKeyValueHeads, headDim } = this.layout.attention;
    return this.at(index).kind === 'attention' ? { numKeyValueHeads, headDim } : undefined;
  }

  public emitEpilogue(graph: GraphBuilder, hidden: Value): Value {
    const { attention, finalNorm, head, vocabularySize } = this.layout;
    return graph.within('epilogue', () => {
      const normed = emitRmsNorm(graph, hidden, finalNorm, attention.normEpsilon);
      const rows = graph.op('Reshape', [normed, graph.ints([-1, attention.hiddenSize])]);
      const leading = graph.op('Slice', [
        graph.op('Shape', [hidden]),
        graph.ints([0]),
        graph.ints([2]),
      ]);
      const size = graph.op('Concat', [leading, graph.ints([vocabularySize])], { axis: 0 });
      return graph.op('Reshape', [emitLinear(graph, head, rows), size]);
    });
  }

  public sublayerTensors(index: number): readonly LazyTensor[] {
    return sublayerTensors(this.at(index));
  }

  public requireRunnable(): void {
    const { embedding, finalNorm, head, sublayers } = this.layout;
    const used = [embedding, finalNorm, head.weight, ...sublayers.flatMap(sublayerTensors)];
    const faulty = used.find(({ dtype }) => !runnableDTypes.has(dtype));
    if (faulty !== undefined) {
      throw new UserError(`Weights of dtype ${faulty.dtype} can be listed but not run.`, {
        file: faulty.file,
        field: faulty.name,
        remedy: `Save the model in one of ${[...runnableDTypes].join(', ')}.`,
      });
    }
  }

  private windows(): Set<number | undefined> {
    return new Set(
      this.layout.sublayers.flatMap((sublayer) =>
        sublayer.kind === 'attention' ? [sublayer.slidingWindow] : [],
      ),
    );
  }

  private at(index: number): TransformerSublayer {
    const sublayer = this.layout.sublayers[index];
    if (sublayer === undefined) {
      throw new RangeError(`sublayer ${index} of ${this.layout.sublayers.length}`);
    }
    return sublayer;
  }
}

/** Every tensor of a sublayer, norms and biases included. */
export function sublayerTensors(sublayer: TransformerSublayer): readonly LazyTensor[] {
  const { norm } = sublayer.weights;
  const linears =
    sublayer.kind === 'attention'
      ? [...sublayer.weights.queryKeyValue, sublayer.weights.output]
      : [...sublayer.weights.gateUp, sublayer.weights.down];
  const headNorms =
    sublayer.kind === 'attention' && sublayer.weights.headNorms !== undefined
      ? [sublayer.weights.headNorms.query, sublayer.weights.headNorms.key]
      : [];
  return [
    norm,
    ...headNorms,
    ...linears.flatMap(({ weight, bias }) => (bias === undefined ? [weight] : [weight, bias])),
  ];
}

function maskName(window: number | undefined): string {
  return window === undefined ? 'mask' : `mask.window.${window}`;
}
