import { renderChat } from '../data/chat-template';
import { seededRandom } from '../data/random';
import { loadTokenizer } from '../data/tokenizer';
import type { Tokenizer } from '../data/tokenizer';
import { checkVocabulary } from '../data/vocabulary';
import type { JobContext } from '../jobs/job';
import { requireAble, warnUnable } from '../models/capability';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { UserError } from '../user-error';
import { continuation, endTokens, textBehind } from './continuation';
import { openDecoder } from './decoder';
import { checkSampling, sampleToken } from './sampling';
import type { Sampling } from './sampling';
import { counted, say } from '../message';

/** What to write on, and how. */
export interface GenerationRequest {
  readonly model: OpenedModel;
  /** Ids of sublayers to skip. */
  readonly removed: readonly string[];
  readonly prompt: string;
  /** Puts the prompt into the model's chat template. */
  readonly chat: boolean;
  /** Most tokens to generate. */
  readonly tokens: number;
  readonly sampling: Sampling;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

export interface Generation {
  readonly model: string;
  /** What was generated, without the prompt. */
  readonly text: string;
  readonly tokens: number;
  readonly promptTokens: number;
  /** `end`: the model ended its text; `length`: as many tokens as asked for, or as it can read. */
  readonly stopped: 'end' | 'length';
  /** Generated tokens per second, the prompt not counted; null where there is but one. */
  readonly tokensPerSecond: number | null;
}

/** Text as it grows. */
export interface GenerationEvent {
  readonly text: string;
}

/**
 * Continues a prompt, greedily or by sampling with a seed.
 * @throws UserError when prompt and model do not fit.
 */
export async function generate(
  request: GenerationRequest,
  context: JobContext<GenerationEvent>,
): Promise<Generation> {
  checkSampling(request.sampling);
  requireAble(request.model.capabilities.generate, request.model.path);
  const { model } = request.model;
  const { name, maxPositions = Number.POSITIVE_INFINITY } = model.summary;
  const tokenizer = await loadTokenizer(model.summary.path);
  const prompt = encodePrompt(tokenizer, request);
  checkVocabulary(prompt, model, tokenizer.file);
  const room = Math.min(request.tokens, maxPositions - prompt.length);
  if (room < 1) {
    throw new UserError(
      say`The prompt's ${counted(prompt.length, 'token')} leave ${name} no room to continue.`,
      {
        field: 'prompt',
        remedy: say`Shorten it: the model reads ${counted(maxPositions, 'token')}.`,
      },
    );
  }
  const ends = await endTokens(model.summary.path, tokenizer);
  const random = seededRandom(request.sampling.seed);
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  warnUnable(request.model.capabilities.carryState, context);
  const decoder = await openDecoder(model, { ...request, device });
  try {
    const generated: number[] = [];
    const textOf = textBehind(tokenizer, prompt);
    let stopped: Generation['stopped'] = 'end';
    let started = performance.now();
    const following = continuation(decoder, prompt, {
      ends,
      choose: (logits) => sampleToken(logits, request.sampling, random),
      cancellation: context.cancellation,
    });
    for await (const next of following) {
      if (generated.length === 0) {
        started = performance.now();
      }
      generated.push(next);
      context.emit({ text: textOf(generated) });
      context.progress({
        stage: say`Generating with ${name}`,
        done: generated.length,
        total: room,
        unit: 'steps',
      });
      if (generated.length === room) {
        stopped = 'length';
        break;
      }
    }
    const seconds = (performance.now() - started) / 1000;
    return {
      model: name,
      text: textOf(generated),
      tokens: generated.length,
      promptTokens: prompt.length,
      stopped,
      tokensPerSecond: generated.length > 1 ? (generated.length - 1) / seconds : null,
    };
  } finally {
    await decoder.dispose();
  }
}

/** A chat template writes its special tokens itself. */
function encodePrompt(tokenizer: Tokenizer, { prompt, chat }: GenerationRequest): Int32Array {
  const ids = chat
    ? tokenizer.encodePlain(renderChat(tokenizer, prompt))
    : tokenizer.encode(prompt);
  if (ids.length > 0) {
    return ids;
  }
  if (tokenizer.prefixToken === undefined) {
    throw new UserError(say`The prompt is empty.`, {
      field: 'prompt',
      remedy: say`Write a prompt.`,
    });
  }
  return Int32Array.of(tokenizer.prefixToken);
}
