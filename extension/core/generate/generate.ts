import { renderChat } from '../data/chat-template';
import type { ChatTurn } from '../data/chat-template';
import { seededRandom } from '../data/random';
import { loadTokenizer } from '../data/tokenizer';
import type { Tokenizer } from '../data/tokenizer';
import { checkVocabulary } from '../data/text-tokens';
import { CancelledError } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { requireAble } from '../models/capability';
import type { LayeredModel } from '../models/layered-model';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import type { LlamaInstallation } from '../runtime/llama/installation';
import { LlamaError } from '../runtime/llama/run-llama';
import { UserError } from '../user-error';
import { continuation, createTextDecoder, writingRules } from './continuation';
import type { ChosenToken, ContinuationOptions } from './continuation';
import type { DecoderOptions } from './decoder';
import { findLlamaFor } from './llama-decoder';
import { warnRereading } from './open-decoder';
import { freshDecoders } from './decoder-pool';
import type { DecoderSource, TakenDecoder } from './decoder-pool';
import { checkSampling, sampleToken } from './sampling';
import type { Sampling } from './sampling';
import { counted, say } from '../message';
import { targetStartId } from '../models/example';

/** Prompt, model and sampling of one generated text. */
export interface GenerationRequest {
  readonly model: OpenedModel;
  /** Ids of sublayers to skip. */
  readonly removed: readonly string[];
  readonly prompt: string;
  /** Applies the model's chat template to the prompt. */
  readonly chat: boolean;
  /** Earlier messages of a chat. */
  readonly turns?: readonly ChatTurn[];
  /** Maximum number of tokens to generate. */
  readonly tokens: number;
  readonly sampling: Sampling;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

export interface Generation {
  readonly model: string;
  /** Generated text, without the prompt. */
  readonly text: string;
  readonly tokens: number;
  readonly promptTokens: number;
  /** `end`: the model generated an end token. `length`: reached `tokens` or the model's context length. */
  readonly stopped: 'end' | 'length';
  /** Tokens/s after the prompt was read; null if only one token was generated. */
  readonly tokensPerSecond: number | null;
  /** Release of llama.cpp that ran the model; absent if Espalier did. */
  readonly llamaCpp?: string;
}

/** Generated token with the top topAlternatives. */
export interface GeneratedToken extends TokenChance {
  /** The most likely tokens at this position, most likely first. */
  readonly likeliest: readonly TokenChance[];
}

/** Event for one generated token. */
export interface GenerationEvent {
  /** Index of the request. */
  readonly of: number;
  /** Index of the token in its text. */
  readonly place: number;
  readonly token: GeneratedToken;
  /** Tokens/s so far, without reading the prompt; null before the second token. */
  readonly tokensPerSecond: number | null;
  /** Release of llama.cpp that runs the model; absent if Espalier does. */
  readonly llamaCpp?: string;
}

/** Number of most likely tokens reported with each generated token. */
const topAlternatives = 5;

/**
 * Continues prompts, greedily or by sampling with a seed. Several prompts take turns, token by token, and share the
 * memory.
 * @param decoders may have read a prefix of a prompt already
 * @throws UserError if a prompt doesn't fit its model.
 */
export async function generateTexts<const Requests extends readonly GenerationRequest[]>(
  requests: Requests,
  context: JobContext<GenerationEvent>,
  decoders: DecoderSource = freshDecoders,
): Promise<{ readonly [K in keyof Requests]: Generation }> {
  const writers: Writer[] = [];
  let isSound = true;
  try {
    for (const request of requests) {
      const memoryBytes = request.memoryBytes / requests.length;
      writers.push(await Writer.open({ ...request, memoryBytes }, context, decoders));
    }
    const active = new Map(writers.entries());
    while (active.size > 0) {
      for (const [of, writer] of active) {
        const token = await writer.next();
        if (token === undefined) {
          active.delete(of);
        } else {
          const { written, tokensPerSecond } = writer;
          context.emit({ of, place: written - 1, token, tokensPerSecond, ...writer.runtime });
        }
      }
      const done = writers.reduce((sum, writer) => sum + writer.written, 0);
      const total = writers.reduce((sum, writer) => sum + writer.room, 0);
      context.progress({ stage: say`Generating`, done, total, unit: 'steps' });
    }
    return writers.map((writer) => writer.result) as { readonly [K in keyof Requests]: Generation };
  } catch (error) {
    isSound = error instanceof UserError || error instanceof CancelledError;
    throw error;
  } finally {
    await Promise.all(writers.map(async ({ decoder }) => decoders.giveBack(decoder, isSound)));
  }
}

/** Continuation of one prompt. */
class Writer {
  readonly #tokens: number[] = [];
  /** Tokens that the generated text follows, and the generated tokens. */
  readonly #read: number[];
  readonly #following: AsyncGenerator<ChosenToken, undefined>;
  readonly #decodeText: (ids: readonly number[]) => string;
  #ended = false;
  /** Time of all tokens after the first, which includes reading the prompt. */
  #milliseconds = 0;

  /** @param before tokens that the text continues: the prompt, or the decoder start token of encoder–decoder models */
  private constructor(
    private readonly name: string,
    private readonly tokenizer: Tokenizer,
    public readonly decoder: TakenDecoder,
    private readonly prompt: Int32Array,
    before: Int32Array,
    public readonly room: number,
    options: ContinuationOptions,
  ) {
    this.#read = [...before];
    this.#decodeText = createTextDecoder(tokenizer, before);
    // At least one token must be read to get the next one's logits.
    const shared = Math.min(sharedLength(decoder.ids, prompt), prompt.length - 1);
    const known = decoder.rewind(shared, prompt.length - shared);
    this.#following = continuation(decoder, prompt.subarray(known), options);
  }

  public static async open(
    request: GenerationRequest,
    context: JobContext<GenerationEvent>,
    decoders: DecoderSource,
  ): Promise<Writer> {
    const { sampling } = request;
    checkSampling(sampling);
    requireAble(request.model.capabilities.generate, request.model.path);
    const { model }: { readonly model: LayeredModel } = request.model;
    const { name, path, maxPositions = Number.POSITIVE_INFINITY } = model.summary;
    const tokenizer = await loadTokenizer(path);
    const prompt = encodePrompt(tokenizer, request);
    checkVocabulary(prompt, model, tokenizer.file);
    // In encoder–decoder models, the source doesn't use positions of the target.
    const taken = targetStartId(model) === undefined ? prompt.length : 0;
    const room = Math.min(request.tokens, maxPositions - taken);
    if (room < 1 || prompt.length > maxPositions) {
      throw new UserError(
        'prompt-too-long',
        say`The prompt has ${counted(prompt.length, 'token')}, which leaves no room to generate with ${name}.`,
        {
          field: 'prompt',
          remedy: say`Shorten it: the model reads ${counted(maxPositions, 'token')}.`,
        },
      );
    }
    const random = seededRandom(sampling.seed);
    const rules = {
      ...(await writingRules(model, tokenizer)),
      choose: (logits: Float32Array) => sampleToken(logits, sampling, random),
      cancellation: context.cancellation,
    };
    const device = await resolveDevice(request.device, (message) => {
      context.warn(message);
    });
    const { memoryBytes, removed } = request;
    const options = { device, memoryBytes, removed };
    const llama =
      removed.length === 0
        ? await findLlamaFor(request.model, { tokens: taken + room, memoryBytes }, context)
        : undefined;
    const decoder =
      (llama && (await takeLlama(decoders, model, { ...options, llama }, context))) ??
      (await decoders.take(model, options));
    warnRereading(name, decoder, context);
    const before = targetStartId(model) === undefined ? prompt : new Int32Array();
    return new Writer(name, tokenizer, decoder, prompt, before, room, rules);
  }

  public get written(): number {
    return this.#tokens.length;
  }

  public get tokensPerSecond(): number | null {
    return this.written > 1 ? ((this.written - 1) * 1000) / this.#milliseconds : null;
  }

  /** Program that runs the model, if it isn't this one. */
  public get runtime(): { readonly llamaCpp?: string } {
    const { llamaCpp } = this.decoder;
    return llamaCpp === undefined ? {} : { llamaCpp };
  }

  /** Returns undefined at the end of the text and at the token limit. */
  public async next(): Promise<GeneratedToken | undefined> {
    if (this.written === this.room) {
      return undefined;
    }
    const started = performance.now();
    const { value } = await this.#following.next();
    if (value === undefined) {
      this.#ended = true;
      return undefined;
    }
    if (this.written > 0) {
      this.#milliseconds += this.decoder.readMilliseconds ?? performance.now() - started;
    }
    const { chosen, likeliest } = tokenChances(value.logits, value.id, topAlternatives);
    const decodeText = createTextDecoder(this.tokenizer, this.#read);
    this.#tokens.push(value.id);
    this.#read.push(value.id);
    return {
      text: decodeText([value.id]),
      probability: chosen,
      likeliest: likeliest.map(([id, probability]) => ({ text: decodeText([id]), probability })),
    };
  }

  public get result(): Generation {
    return {
      model: this.name,
      text: this.#decodeText(this.#tokens),
      tokens: this.written,
      promptTokens: this.prompt.length,
      stopped: this.#ended ? 'end' : 'length',
      tokensPerSecond: this.tokensPerSecond,
      ...this.runtime,
    };
  }
}

/** Opens a model in llama.cpp. If llama.cpp refuses it, a warning says why, and Espalier runs the model. */
async function takeLlama(
  decoders: DecoderSource,
  model: LayeredModel,
  options: DecoderOptions & { readonly llama: LlamaInstallation },
  { warn }: Pick<JobContext, 'warn'>,
): Promise<TakenDecoder | undefined> {
  try {
    return await decoders.take(model, options);
  } catch (error) {
    if (!(error instanceof LlamaError)) {
      throw error;
    }
    const { name } = model.summary;
    warn(say`${name} does not run in llama.cpp ${options.llama.llamaCpp}: ${error.reason}.`);
    return undefined;
  }
}

/** Length of the common prefix of two token sequences. */
function sharedLength(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) {
    length++;
  }
  return length;
}

/** Encodes a prompt. A chat template adds special tokens itself. */
function encodePrompt(
  tokenizer: Tokenizer,
  { prompt, chat, turns }: GenerationRequest,
): Int32Array {
  const ids = chat
    ? tokenizer.encodePlain(renderChat(tokenizer, prompt, turns))
    : tokenizer.encode(prompt);
  if (ids.length > 0) {
    return ids;
  }
  if (tokenizer.prefixToken === undefined) {
    throw new UserError('prompt-empty', say`The prompt is empty.`, {
      field: 'prompt',
      remedy: say`Write a prompt.`,
    });
  }
  return Int32Array.of(tokenizer.prefixToken);
}

/** Token text with its probability. */
interface TokenChance {
  readonly text: string;
  /** Probability before temperature, top-k and top-p. */
  readonly probability: number;
}

/** Probabilities from logits, [vocabulary]: first the sampled token, then the `count` most likely tokens. */
function tokenChances(
  logits: Float32Array,
  chosen: number,
  count: number,
): { readonly chosen: number; readonly likeliest: readonly (readonly [number, number])[] } {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  let total = 0;
  const likeliest: number[] = [];
  const logitAt = (id: number): number => logits[id] ?? Number.NEGATIVE_INFINITY;
  // Indexed loop: creating a pair per entry takes longer than the exponentials.
  for (let id = 0; id < logits.length; id++) {
    const logit = logitAt(id);
    total += Math.exp(logit - highest);
    if (likeliest.length < count || logit > logitAt(likeliest.at(-1) ?? 0)) {
      const place = likeliest.findIndex((other) => logitAt(other) < logit);
      likeliest.splice(place < 0 ? likeliest.length : place, 0, id);
      likeliest.length = Math.min(likeliest.length, count);
    }
  }
  const probability = (id: number): number => Math.exp(logitAt(id) - highest) / total;
  return {
    chosen: probability(chosen),
    likeliest: likeliest.map((id) => [id, probability(id)] as const),
  };
}
