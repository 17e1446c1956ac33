import type { Message } from '../message';
import type { LayeredModel } from '../models/layered-model';
import { openDecoder } from './open-decoder';
import type { Decoder, DecoderOptions } from './decoder';

/** Decoder with the tokens that it has read so far. */
export interface TakenDecoder extends Decoder {
  readonly ids: readonly number[];
}

/** Provider of decoders, which are returned after a text is generated. */
export interface DecoderSource {
  take(model: LayeredModel, options: DecoderOptions): Promise<TakenDecoder>;
  /** @param isSound true if the decoder may be reused; false after a failed run */
  giveBack(decoder: TakenDecoder, isSound: boolean): Promise<void>;
}

/** Opens a new decoder for each text. */
export const freshDecoders: DecoderSource = {
  take: async (model, options) => new ReadDecoder(await openDecoder(model, options)),
  giveBack: async (decoder) => decoder.dispose(),
};

interface Kept {
  readonly model: LayeredModel;
  readonly key: string;
  readonly decoder: TakenDecoder;
}

/** Keeps decoders open with their KV cache, so that a shared prefix of two texts is read only once. */
export class DecoderPool implements DecoderSource {
  /** Idle decoders, most recently used last. */
  #idle: Kept[] = [];
  readonly #taken = new Map<TakenDecoder, Kept>();

  /** @param most maximum number of idle decoders */
  public constructor(private readonly most: number) {}

  public async take(model: LayeredModel, options: DecoderOptions): Promise<TakenDecoder> {
    const key = JSON.stringify(options);
    const known = this.#idle.find((one) => one.model === model && one.key === key);
    if (known !== undefined) {
      this.#idle = this.#idle.filter((one) => one !== known);
      this.#taken.set(known.decoder, known);
      return known.decoder;
    }
    await this.#shrink(this.most - this.#taken.size - 1);
    const decoder = await freshDecoders.take(model, options);
    this.#taken.set(decoder, { model, key, decoder });
    return decoder;
  }

  public async giveBack(decoder: TakenDecoder, isSound: boolean): Promise<void> {
    const entry = this.#taken.get(decoder);
    this.#taken.delete(decoder);
    if (entry !== undefined && isSound) {
      this.#idle.push(entry);
      await this.#shrink(this.most - this.#taken.size);
    } else {
      await decoder.dispose();
    }
  }

  async #shrink(most: number): Promise<void> {
    const evicted = this.#idle.splice(0, Math.max(0, this.#idle.length - Math.max(0, most)));
    await Promise.all(evicted.map(async ({ decoder }) => decoder.dispose()));
  }
}

class ReadDecoder implements TakenDecoder {
  readonly #ids: number[] = [];

  public constructor(private readonly inner: Decoder) {}

  public get ids(): readonly number[] {
    return this.#ids;
  }

  public get rereads(): Message | undefined {
    return this.inner.rereads;
  }

  public get llamaCpp(): string | undefined {
    return this.inner.llamaCpp;
  }

  public get readMilliseconds(): number | undefined {
    return this.inner.readMilliseconds;
  }

  public async read(ids: Int32Array): Promise<Float32Array> {
    const logits = await this.inner.read(ids);
    for (const id of ids) {
      this.#ids.push(id);
    }
    return logits;
  }

  public rewind(length: number, more?: number): number {
    this.#ids.length = this.inner.rewind(length, more);
    return this.#ids.length;
  }

  public async dispose(): Promise<void> {
    await this.inner.dispose();
  }
}
