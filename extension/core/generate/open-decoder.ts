import { buildOnnxGraph } from '../export/onnx/onnx-writer';
import { layOutChanges } from '../export/changes';
import { say } from '../message';
import type { Message } from '../message';
import type { JobContext } from '../jobs/job';
import type { LayeredModel } from '../models/layered-model';
import { OnnxLayeredModel } from '../models/onnx/onnx-layered-model';
import { Seq2SeqModel } from '../models/seq2seq/seq2seq-model';
import { CausalOnnxModel } from '../runtime/causal-onnx-model';
import { LayeredExecutor } from '../runtime/layered-executor';
import { requireNextTokens } from '../runtime/next-token';
import { CachedDecoder } from './cached-decoder';
import type { Decoder, DecoderOptions } from './decoder';
import { LlamaDecoder } from './llama-decoder';
import { openOwnGraph } from './own-graph';
import { SourceDecoder } from './source-decoder';

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
