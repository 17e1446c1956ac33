import { buildOnnxGraph } from '../export/onnx/onnx-writer';
import { layOutChanges } from '../export/changes';
import { say } from '../message';
import type { Message } from '../message';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import { OnnxLayeredModel } from '../models/onnx/onnx-layered-model';
import { Seq2SeqModel, sourceInputs, StepDecoder } from '../models/seq2seq/seq2seq-model';
import { CausalOnnxModel } from '../runtime/causal-onnx-model';
import { LayeredExecutor } from '../runtime/layered-executor';
import { requireNextTokens } from '../runtime/next-token';
import type { Decoder, DecoderOptions } from './decoder';
import { LlamaDecoder } from './llama-decoder';
import { openOwnGraph } from './own-graph';
import type { Changes } from '../export/changes';
import { readIds, targetStartId } from '../models/example';
import type { Example } from '../models/model-input';
import { GraphBuilder } from '../onnx/graph-builder';
import { createSession } from '../runtime/session';
import { exampleTensor, floatsIn, outputTensor } from '../runtime/tensors';
import type { CausalCache } from '../runtime/causal-onnx-model';
import type { OwnGraph } from './own-graph';

/** Decoder for encoder–decoder models: runs the encoder once, then the decoder token by token. */
class SourceDecoder implements Decoder {
  public readonly rereads = undefined;
  private target: CachedDecoder | undefined;

  private constructor(
    private readonly model: Seq2SeqModel,
    private readonly encoder: Awaited<ReturnType<typeof createSession>>,
    private readonly steps: CausalOnnxModel,
  ) {}

  public static async open(
    model: Seq2SeqModel,
    changes: Changes,
    options: Pick<DecoderOptions, 'device' | 'spin'>,
  ): Promise<SourceDecoder> {
    const { device } = options;
    const remainingIds = new Set(changes.remaining.map(({ id }) => id));
    const removed = [...model.summary.sublayers.entries()].filter(
      ([, { id }]) => !remainingIds.has(id),
    );
    const source = new GraphBuilder(model.summary.name);
    model.emitSourceWhole(source, new Set(removed.map(([index]) => index)));
    const encoder = await createSession(source, { device, prepack: true });
    try {
      const decoder = new StepDecoder(model);
      const graph = buildOnnxGraph(decoder, decoder, changes);
      return new SourceDecoder(model, encoder, await CausalOnnxModel.build(graph, options));
    } catch (error) {
      await encoder.release();
      throw error;
    }
  }

  public async read(ids: Int32Array): Promise<Float32Array> {
    if (this.target !== undefined) {
      return this.target.read(ids);
    }
    const { first, later } = await this.encode(ids);
    this.target = new CachedDecoder({ model: this.steps, first, later });
    return this.target.read(Int32Array.of(targetStartId(this.model) ?? 0));
  }

  /** Always 0: the next text may have another source. */
  public rewind(): number {
    this.target = undefined;
    return 0;
  }

  public async dispose(): Promise<void> {
    await Promise.all([this.encoder.release(), this.steps.dispose()]);
  }

  /**
   * Runs the encoder. Returns the inputs of the first decoder step and of later ones, which reuse the cross-attention
   * keys and values.
   */
  private async encode(
    ids: Int32Array,
  ): Promise<{ readonly first: Example; readonly later: Example }> {
    const { model, encoder } = this;
    const example = readIds({ inputs: model.sourceInputs }, ids, model.summary.path);
    const feeds = Object.entries(example).map(
      ([name, value]) => [name, exampleTensor(value)] as const,
    );
    const outputs = await encoder.run(Object.fromEntries(feeds));
    const given = outputTensor(outputs, sourceInputs.encoded);
    const [batch = 1, length = 0, hidden = 0] = given.dims;
    const ones = BigInt64Array.from({ length }, () => 1n);
    const mask = { dtype: 'I64', dims: [batch, length], data: ones };
    const rows = (data: Float32Array): Example => ({
      [sourceInputs.attended]: mask,
      [sourceInputs.encoded]: { dtype: 'F32', dims: [batch, data.length / hidden, hidden], data },
    });
    return { first: rows(floatsIn(given)), later: rows(new Float32Array()) };
  }
}

/**
 * Opens a decoder with a KV cache, or one that reads the whole text for each token if the graph has no supported cache.
 */
export async function openDecoder(model: LayeredModel, options: DecoderOptions): Promise<Decoder> {
  requireNextTokens(model);
  model.requireRunnable();
  const { emitter, summary } = model;
  const { device, memoryBytes, removed, llama } = options;
  if (llama !== undefined) {
    return LlamaDecoder.open(llama, summary.path, summary.maxPositions);
  }
  const changes = layOutChanges(summary, removed);
  if (emitter !== undefined) {
    const graph = buildOnnxGraph(model, emitter, changes);
    const built = await CausalOnnxModel.build(graph, options);
    return new CachedDecoder({ model: built, first: {}, later: {} });
  }
  if (model instanceof Seq2SeqModel) {
    return SourceDecoder.open(model, changes, options);
  }
  const own =
    model instanceof OnnxLayeredModel
      ? await openOwnGraph(model, changes, options)
      : say`the graph has no key/value cache.`;
  return 'model' in own
    ? new CachedDecoder(own)
    : new RereadingDecoder(new LayeredExecutor(model, device, memoryBytes), removed, own);
}

/** Warns if a decoder reads the whole text for each token. */
export function warnRereading(
  name: string,
  { rereads }: Pick<Decoder, 'rereads'>,
  { warn }: Pick<JobContext, 'warn'>,
): void {
  if (rereads !== undefined) {
    warn(say`${name} processes the whole text again for each token: ${rereads}`);
  }
}

/** Decoder for ONNX graphs of other exporters without a supported KV cache. */
class RereadingDecoder implements Decoder {
  private ids = new Int32Array();
  private readonly removed: ReadonlySet<number>;

  public constructor(
    private readonly executor: LayeredExecutor,
    removed: readonly string[],
    public readonly rereads: Message,
  ) {
    this.removed = new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? []));
  }

  public async read(ids: Int32Array): Promise<Float32Array> {
    const all = Int32Array.of(...this.ids, ...ids);
    let state = await this.executor.embed(all);
    for (const index of this.executor.model.summary.sublayers.keys()) {
      [state = state] = await this.executor.pass(index, [state], this.removed);
    }
    const logits = await this.executor.logits(state);
    this.ids = all;
    return logits.slice(-logits.length / all.length);
  }

  public rewind(length: number): number {
    this.ids = this.ids.slice(0, length);
    return this.ids.length;
  }

  public async dispose(): Promise<void> {
    await this.executor.dispose();
  }
}

/**
 * Above this number of new tokens, a graph that decodes one token at a time reads the whole text again at once. A
 * guess, not measured.
 */
const maxSingly = 4;

/** Decoder with a KV cache. */
class CachedDecoder implements Decoder {
  public readonly rereads = undefined;
  private cache: CausalCache;
  private past = 0;

  public constructor(private readonly graph: OwnGraph) {
    this.cache = graph.model.emptyCache(1);
  }

  public async read(ids: Int32Array): Promise<Float32Array> {
    const { first, later, readsSingly } = this.graph;
    if (readsSingly === true && this.past > 0 && ids.length > 1) {
      let last: Float32Array = new Float32Array();
      for (const id of ids) {
        last = await this.read(Int32Array.of(id));
      }
      return last;
    }
    const end = this.past + ids.length;
    const { logits, vocabularySize, cache } = await this.graph.model.run(
      {
        inputIds: [[...ids]],
        attentionMask: [new Array<number>(end).fill(1)],
        positionIds: [Array.from(ids, (_, i) => this.past + i)],
      },
      this.cache,
      this.past === 0 ? first : later,
    );
    this.cache = cache;
    this.past = end;
    return logits.slice(-vocabularySize);
  }

  public rewind(length: number, more = 0): number {
    const { model, readsSingly } = this.graph;
    const cachedLength = readsSingly === true && more > maxSingly ? 0 : length;
    if (cachedLength < this.past) {
      const cut =
        cachedLength > 0 ? model.firstPositions(this.cache, this.past, cachedLength) : undefined;
      this.cache = cut ?? model.emptyCache(1);
      this.past = cut === undefined ? 0 : cachedLength;
    }
    return this.past;
  }

  public async dispose(): Promise<void> {
    await this.graph.model.dispose();
  }
}
