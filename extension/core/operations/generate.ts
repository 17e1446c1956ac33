import * as v from 'valibot';
import { freshDecoders } from '../generate/decoder-pool';
import type { DecoderSource } from '../generate/decoder-pool';
import { generateTexts } from '../generate/generate';
import type { Generation, GenerationEvent, GenerationRequest } from '../generate/generate';
import { flag, group, integer, number, path, text } from './fields';
import type { RequestOf } from './fields';
import { defineOperation } from './operation';
import type { OperationContext } from './operation';
import { modelField, runFields, runOptions } from './shared-fields';

/** The texts of one model, or of two. */
export type GenerationResult = Generation & { readonly against?: Generation };

export const generate = defineOperation({
  id: 'generate',
  title: 'Generate Text',
  verb: 'Generating with',
  summary:
    'Continue a prompt, greedily or by sampling; two models side by side. GGUF files run in llama.cpp if it is installed.',
  group: 'measure',
  fields: {
    model: modelField,
    prompt: text({ description: 'Text to continue', required: true }),
    against: path({ description: 'Second model to compare with', placeholder: 'MODEL2' }),
    chat: flag({ description: "Put the prompt into the model's chat template", default: false }),
    tokens: integer({ description: 'Maximum number of tokens to generate', default: 64, min: 1 }),
    ...group('Sampling', {
      temperature: number({ description: 'Divides the logits; 0 is greedy', default: 0, min: 0 }),
      topK: integer({
        description: 'Sample from the K most likely tokens',
        placeholder: 'K',
        fallback: 'all',
        min: 1,
      }),
      topP: number({
        description: 'Sample from the smallest set of tokens whose probabilities sum to P',
        placeholder: 'P',
        fallback: '1',
        min: 0,
        max: 1,
      }),
      seed: integer({ description: 'Seed of sampling', default: 0 }),
    }),
    ...runFields,
  },
  rules: [],
  result: v.looseObject({
    text: v.string(),
    tokens: v.number(),
    tokensPerSecond: v.nullable(v.number()),
    llamaCpp: v.optional(v.string()),
  }),
  trust: 'run',
  run: async (request, context: OperationContext<GenerationEvent>): Promise<GenerationResult> =>
    converse({ request, turns: [] }, context, freshDecoders),
});

/** Previous prompts and both models' answers, in order. */
export interface Turn {
  readonly prompt: string;
  readonly answers: readonly string[];
}

/** A prompt to continue, and the conversation that it belongs to. */
export interface ConverseRequest {
  readonly request: RequestOf<typeof generate.fields>;
  readonly turns: readonly Turn[];
}

/** Continues a prompt after earlier turns. */
export async function converse(
  { request, turns }: ConverseRequest,
  context: OperationContext<GenerationEvent>,
  decoders: DecoderSource,
): Promise<GenerationResult> {
  const { prompt, chat, tokens, temperature, topK, topP, seed, against } = request;
  const makeRequest = async (path: string, of: number): Promise<GenerationRequest> => ({
    ...{ model: await context.environment.open(path), removed: [], prompt, chat, tokens },
    ...runOptions(request),
    turns: turns.map((turn) => ({ prompt: turn.prompt, answer: turn.answers[of] ?? '' })),
    sampling: {
      temperature,
      seed,
      ...(topK === undefined ? {} : { topK }),
      ...(topP === undefined ? {} : { topP }),
    },
  });
  const first = await makeRequest(request.model, 0);
  if (against === undefined) {
    const [only] = await generateTexts([first], context, decoders);
    return only;
  }
  const [result, other] = await generateTexts(
    [first, await makeRequest(against, 1)],
    context,
    decoders,
  );
  return { ...result, against: other };
}
