import { formatBytes } from '../format';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import { memoryAt } from '../models/model-summary';
import type { OpenedModel } from '../models/opened-model';
import { installedLlama } from '../runtime/llama/installation';
import type { LlamaInstallation } from '../runtime/llama/installation';
import { LlamaText } from '../runtime/llama/run-llama';
import type { Decoder } from './decoder';

/** Shortest context length. */
const leastContext = 1024;

/** Context length for a text: a power of two, so that a growing text is read again only a few times. */
function contextFor(tokens: number, maxPositions: number): number {
  const size = 2 ** Math.ceil(Math.log2(Math.max(leastContext, tokens)));
  return Math.min(size, maxPositions);
}

/** Decoder that runs a GGUF file in llama.cpp. */
export class LlamaDecoder implements Decoder {
  public readonly rereads = undefined;
  /** Release of llama.cpp. */
  public readonly llamaCpp: string;
  #ids: number[] = [];
  #contextSize: number;
  #milliseconds = 0;
  readonly #text: LlamaText;

  private constructor(
    installed: LlamaInstallation,
    path: string,
    private readonly maxPositions: number,
  ) {
    this.llamaCpp = installed.llamaCpp;
    this.#text = new LlamaText(installed, path);
    this.#contextSize = contextFor(0, maxPositions);
  }

  /** @throws LlamaError if llama.cpp can't load the file. */
  public static async open(
    installed: LlamaInstallation,
    path: string,
    maxPositions: number | undefined,
  ): Promise<LlamaDecoder> {
    const decoder = new LlamaDecoder(installed, path, maxPositions ?? Infinity);
    await decoder.read(new Int32Array());
    return decoder;
  }

  /** Time of the last read in llama.cpp, without passing on the logits. */
  public get readMilliseconds(): number {
    return this.#milliseconds;
  }

  public async read(ids: Int32Array): Promise<Float32Array> {
    const all = [...this.#ids, ...ids];
    this.#contextSize = Math.max(this.#contextSize, contextFor(all.length, this.maxPositions));
    const { logits, milliseconds } = await this.#text.read({
      ids: Int32Array.from(all),
      known: Math.min(this.#ids.length, this.#text.known),
      contextSize: this.#contextSize,
    });
    this.#ids = all;
    this.#milliseconds = milliseconds;
    return logits;
  }

  /** Keeps the text only as a whole: sliding windows and recurrent states can't be truncated. */
  public rewind(length: number): number {
    if (length < this.#ids.length || this.#text.known < this.#ids.length) {
      this.#ids = [];
    }
    return this.#ids.length;
  }

  public async dispose(): Promise<void> {
    this.#text.dispose();
    return Promise.resolve();
  }
}

/**
 * Installation of llama.cpp that runs a model: if it is a whole GGUF file of a language model and llama.cpp is installed.
 * @returns undefined if Espalier runs it; with a warning if it needs more memory than allowed
 */
export async function findLlamaFor(
  { model: { summary, emitter }, format, path }: OpenedModel,
  { tokens, memoryBytes }: { readonly tokens: number; readonly memoryBytes: number },
  { warn }: Pick<JobContext, 'warn'>,
): Promise<LlamaInstallation | undefined> {
  const llama = format === 'gguf' && emitter !== undefined ? await installedLlama() : undefined;
  if (llama === undefined) {
    return undefined;
  }
  const bytes = memoryAt(summary, contextFor(tokens, summary.maxPositions ?? Infinity));
  if (bytes <= memoryBytes) {
    return llama;
  }
  warn(
    say`${path} does not run in llama.cpp ${llama.llamaCpp}: it needs ${formatBytes(bytes)} of memory, and ${formatBytes(memoryBytes)} are allowed.`,
  );
  return undefined;
}
