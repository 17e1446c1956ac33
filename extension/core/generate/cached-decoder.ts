import type { CausalCache } from '../runtime/causal-onnx-model';
import type { Decoder } from './decoder';
import type { OwnGraph } from './own-graph';

/**
 * Above this number of new tokens, a graph that decodes one token at a time reads the whole text again at once. A
 * guess, not measured.
 */
const maxSingly = 4;

/** Decoder with a KV cache. */
export class CachedDecoder implements Decoder {
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
