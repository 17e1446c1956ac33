import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { elementCount } from '../checkpoints/lazy-tensor';
import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { LayeredModel, ModelInputs } from '../models/layered-model';
import type { DeviceName } from './device';
import { SessionPool } from './session-pool';
import type { SessionRecipe } from './session-pool';
import { floatsOf, int64Tensor, stack, tensorOf } from './tensors';
import type { HiddenState } from './tensors';

/** A graph from hidden states to numbers, kept apart from the model (such as a distance). */
export interface Readout {
  readonly key: string;
  /** Emits from inputs that it declares itself; `epilogue` gives logits of hidden states. */
  readonly build: (graph: GraphBuilder, model: LayeredModel) => void;
}

/** Hidden-state elements sent through a sublayer in one run: larger batches gain nothing. */
const maxElementsPerRun = 1 << 19;
/** Share of the memory that sessions may take; the rest is for hidden states. */
const sessionShare = 0.75;

/** Runs a layered model piece by piece over hidden states that live in JavaScript. */
export class LayeredExecutor {
  private readonly pool: SessionPool;
  private readonly side = new Map<number, ReadonlyMap<string, Tensor>>();
  private evaluationCount = 0;

  public constructor(
    public readonly model: LayeredModel,
    public readonly device: DeviceName,
    private readonly memoryBytes: number,
  ) {
    model.requireRunnable();
    this.pool = new SessionPool(device, memoryBytes * sessionShare);
  }

  /** Sublayer evaluations so far: one sublayer run over one sequence. */
  public get evaluations(): number {
    return this.evaluationCount;
  }

  /** Whether all sessions fit in memory; otherwise those that do not are made again for each pass. */
  public get keepsSessions(): boolean {
    return this.modelBytes() <= this.memoryBytes * sessionShare;
  }

  /** Bytes that hidden states may take beside the sessions. */
  public get stateBytes(): number {
    return this.memoryBytes - Math.min(this.modelBytes(), this.memoryBytes * sessionShare);
  }

  /** h₀ of one sequence of token ids. */
  public async embed(ids: Int32Array): Promise<HiddenState> {
    const outputs = await this.runPrologue(ids);
    if (!this.side.has(ids.length)) {
      this.side.set(
        ids.length,
        new Map(this.model.sideValues.map(({ name }) => [name, tensorOf(outputs, name)])),
      );
    }
    return floatsOf(outputs, 'hidden');
  }

  /**
   * hᵢ → hᵢ₊₁ for several sequences of equal length, each embedded before. `afterRun` is awaited
   * after each run of ONNX Runtime, which blocks the thread, and may throw to stop.
   */
  public async run(
    index: number,
    states: readonly HiddenState[],
    afterRun?: () => Promise<void>,
  ): Promise<HiddenState[]> {
    const [first] = states;
    if (first === undefined) {
      return [];
    }
    const { hiddenSize } = this.model.summary;
    const length = first.length / hiddenSize;
    const side = this.side.get(length);
    if (side === undefined) {
      throw new Error(`no sequence of ${length} tokens was embedded`);
    }
    const perRun = Math.max(1, Math.floor(maxElementsPerRun / first.length));
    return this.pool.use(this.sublayerRecipe(index), async (session) => {
      const results: HiddenState[] = [];
      for (let start = 0; start < states.length; start += perRun) {
        const batch = states.slice(start, start + perRun);
        const feeds: Record<string, Tensor> = { hidden: stack(batch, length, hiddenSize) };
        for (const name of this.model.sideNames(index)) {
          feeds[name] = side.get(name) ?? missing(name);
        }
        const output = floatsOf(await session.run(feeds), 'next');
        this.evaluationCount += batch.length;
        batch.forEach((_, i) => {
          results.push(output.slice(i * first.length, (i + 1) * first.length));
        });
        await afterRun?.();
      }
      return results;
    });
  }

  /** Runs a graph of the caller's, with the head's weights at hand. */
  public async read(
    readout: Readout,
    feeds: Readonly<Record<string, Tensor>>,
  ): Promise<InferenceSession.OnnxValueMapType> {
    return this.pool.use(
      {
        key: readout.key,
        bytes: this.headBytes(),
        build: () => {
          const graph = new GraphBuilder(readout.key);
          readout.build(graph, this.model);
          return graph;
        },
      },
      async (session) => session.run(feeds),
    );
  }

  /** Logits [sequence, vocabulary] of one final hidden state. */
  public async logits(state: HiddenState): Promise<Float32Array> {
    const { hiddenSize } = this.model.summary;
    const outputs = await this.read(logitsReadout, {
      hidden: stack([state], state.length / hiddenSize, hiddenSize),
    });
    return floatsOf(outputs, 'logits');
  }

  public async dispose(): Promise<void> {
    await this.pool.dispose();
  }

  private async runPrologue(ids: Int32Array): Promise<InferenceSession.OnnxValueMapType> {
    const build = (): GraphBuilder => {
      const graph = new GraphBuilder('prologue');
      const input = (name: string): string =>
        graph.input(name, DataType.INT64, ['batch', 'sequence']);
      const inputs: ModelInputs = {
        inputIds: input('input_ids'),
        attentionMask: input('attention_mask'),
        positionIds: input('position_ids'),
      };
      const { hidden, side } = this.model.emitPrologue(graph, inputs);
      const { hiddenSize } = this.model.summary;
      graph.output('hidden', hidden, DataType.FLOAT, ['batch', 'sequence', hiddenSize]);
      for (const { name, shape } of this.model.sideValues) {
        graph.output(name, side[name] ?? missing(name), DataType.FLOAT, shape);
      }
      return graph;
    };
    const row = (value: (position: number) => number): Tensor =>
      int64Tensor(
        Int32Array.from(ids, (_, position) => value(position)),
        [1, ids.length],
      );
    return this.pool.use({ key: 'prologue', bytes: this.headBytes(), build }, async (session) =>
      session.run({
        input_ids: int64Tensor(ids, [1, ids.length]),
        attention_mask: row(() => 1),
        position_ids: row((position) => position),
      }),
    );
  }

  private sublayerRecipe(index: number): SessionRecipe {
    const id = this.model.summary.sublayers[index]?.id ?? String(index);
    const build = (): GraphBuilder => {
      const graph = new GraphBuilder(id);
      const shape = ['batch', 'sequence', this.model.summary.hiddenSize];
      const hidden = graph.input('hidden', DataType.FLOAT, shape);
      const names = this.model.sideNames(index);
      for (const { name, shape: sideShape } of this.model.sideValues) {
        if (names.includes(name)) {
          graph.input(name, DataType.FLOAT, sideShape);
        }
      }
      const side = Object.fromEntries(names.map((name) => [name, name]));
      const next = this.model.emitSublayer(graph, index, hidden, side).hidden;
      graph.output('next', next, DataType.FLOAT, shape);
      return graph;
    };
    const elements = this.model
      .sublayerTensors(index)
      .reduce((sum, tensor) => sum + elementCount(tensor.shape), 0);
    return { key: id, bytes: elements * Float32Array.BYTES_PER_ELEMENT, build };
  }

  private modelBytes(): number {
    return this.model.summary.parameters * Float32Array.BYTES_PER_ELEMENT;
  }

  private headBytes(): number {
    const { hiddenSize, vocabularySize } = this.model.summary;
    return hiddenSize * vocabularySize * Float32Array.BYTES_PER_ELEMENT;
  }
}

const logitsReadout: Readout = {
  key: 'logits',
  build: (graph, model) => {
    const { hiddenSize, vocabularySize } = model.summary;
    const hidden = graph.input('hidden', DataType.FLOAT, ['batch', 'sequence', hiddenSize]);
    graph.output('logits', model.emitEpilogue(graph, hidden), DataType.FLOAT, [
      'batch',
      'sequence',
      vocabularySize,
    ]);
  },
};

function missing(name: string): never {
  throw new Error(`the graph has no value named ${name}`);
}
