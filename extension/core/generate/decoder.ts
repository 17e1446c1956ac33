import { isOnnx } from '../checkpoints/model-folder';
import { buildOnnxGraph } from '../export/onnx/onnx-writer';
import { layOutChanges } from '../export/changes';
import type { LayeredModel } from '../models/layered-model';
import { hasMixers } from '../models/model-summary';
import { CausalOnnxModel, firstPositions } from '../runtime/causal-onnx-model';
import type { CausalCache } from '../runtime/causal-onnx-model';
import type { DeviceName } from '../runtime/device';
import { LayeredExecutor } from '../runtime/layered-executor';
import { requireNextTokens } from '../runtime/next-token';

/** Reads a text token by token. */
export interface Decoder {
  /** Whether it keeps keys and values, so that a token does not read the whole text again. */
  readonly isCached: boolean;
  /** Reads more tokens; gives the logits of what comes next, [vocabulary]. */
  read(ids: Int32Array): Promise<Float32Array>;
  /** Forgets all that was read but so many tokens. */
  rewind(length: number): void;
  dispose(): Promise<void>;
}

/** Where a model is run for generation. */
export interface DecoderOptions {
  readonly device: DeviceName;
  readonly memoryBytes: number;
  /** Ids of sublayers and experts that are left out. */
  readonly removed: readonly string[];
  /** The model's own file, where it may be run as it stands. */
  readonly file?: string;
}

/**
 * A decoder with a key/value cache; of a graph that is a model already and takes none, or of one with mixers, one
 * that reads all anew.
 */
export async function openDecoder(model: LayeredModel, options: DecoderOptions): Promise<Decoder> {
  requireNextTokens(model);
  model.requireRunnable();
  const { emitter } = model;
  const { vocabularySize } = model.summary;
  if (emitter === undefined && vocabularySize !== undefined) {
    const own = await ownGraph(options);
    if (own !== undefined) {
      return new CachedDecoder(own, vocabularySize);
    }
  }
  if (emitter === undefined || hasMixers(model.summary)) {
    return new RereadingDecoder(new LayeredExecutor(model, options.device, options.memoryBytes), [
      ...options.removed,
    ]);
  }
  const graph = buildOnnxGraph(model, emitter, layOutChanges(model.summary, options.removed));
  return new CachedDecoder(
    await CausalOnnxModel.build(graph, options.device),
    emitter.vocabularySize,
  );
}

/** A graph of someone else's as it stands, where it takes its own cache. */
async function ownGraph({
  file,
  device,
  removed,
}: DecoderOptions): Promise<CausalOnnxModel | undefined> {
  return file === undefined || !isOnnx(file) || removed.length > 0
    ? undefined
    : CausalOnnxModel.ofFile(file, device);
}

class CachedDecoder implements Decoder {
  public readonly isCached = true;
  private cache: CausalCache;
  private past = 0;

  public constructor(
    private readonly model: CausalOnnxModel,
    private readonly vocabularySize: number,
  ) {
    this.cache = model.emptyCache(1);
  }

  public async read(ids: Int32Array): Promise<Float32Array> {
    const end = this.past + ids.length;
    const { logits, cache } = await this.model.run(
      {
        inputIds: [[...ids]],
        attentionMask: [new Array<number>(end).fill(1)],
        positionIds: [Array.from(ids, (_, i) => this.past + i)],
      },
      this.cache,
    );
    this.cache = cache;
    this.past = end;
    return logits.slice(-this.vocabularySize);
  }

  public rewind(length: number): void {
    this.cache = length === 0 ? this.model.emptyCache(1) : firstPositions(this.cache, length);
    this.past = Math.min(this.past, length);
  }

  public async dispose(): Promise<void> {
    await this.model.dispose();
  }
}

/** For a graph of someone else's that takes no cache of a known form, and for mixers, whose states are in none. */
class RereadingDecoder implements Decoder {
  public readonly isCached = false;
  private ids = new Int32Array();
  private readonly removed: ReadonlySet<number>;

  public constructor(
    private readonly executor: LayeredExecutor,
    removed: readonly string[],
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

  public rewind(length: number): void {
    this.ids = this.ids.slice(0, length);
  }

  public async dispose(): Promise<void> {
    await this.executor.dispose();
  }
}
