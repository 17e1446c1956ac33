import * as v from 'valibot';
import { described, parseDocument } from '../jobs/parse-document';
import { originEntries } from '../runtime/origin';
import { say } from '../message';
import { outcomes } from './requirements';

const interval = v.object({ value: v.number(), low: v.number(), high: v.number() });
const evaluated = v.object({ name: v.string(), path: v.string() });

const predictionEntries = {
  klDivergence: described(
    v.optional(interval),
    'KL divergence from that model in nats, mean over tokens, with its 95 % interval',
  ),
  klPercentiles: described(
    v.optional(v.object({ median: interval, p99: interval, p999: interval, maximum: v.number() })),
    'Percentiles of that divergence over tokens, in nats, with their 95 % intervals',
  ),
  agreement: described(
    v.optional(interval),
    'Share of the tokens for which both models rank the same next token first, with its 95 % interval',
  ),
  probabilityChange: described(
    v.optional(interval),
    "Root mean square change of the next token's probability (RMS Δp), with its 95 % interval",
  ),
};

const perplexityRatio = described(
  v.optional(interval),
  'Perplexity over that of the other model, with its 95 % interval',
);

const domain = v.object({
  domain: described(v.string(), 'Kind of text'),
  perplexity: described(v.number(), 'Perplexity on it'),
  tokens: described(v.number(), 'Tokens of it that were predicted'),
  against: described(v.optional(v.number()), 'Perplexity of the other model on it'),
  perplexityRatio,
  ...predictionEntries,
});

const measuredEntries = {
  perplexity: described(v.optional(v.number()), 'exp(mean negative log-likelihood) of the text'),
  tokens: described(v.optional(v.number()), 'Tokens of the text that were predicted'),
  tokensPerSecond: described(v.optional(v.number()), 'Tokens of the text read in a second'),
  llamaCpp: described(
    v.optional(
      v.object({
        ...{ release: v.string(), threads: v.number() },
        ...{ prefillTokensPerSecond: v.number(), decodeTokensPerSecond: v.number() },
      }),
    ),
    'Speed of a GGUF file in llama.cpp: a prompt of 128 tokens, then 32 tokens one by one',
  ),
  kind: described(v.optional(v.string()), 'Kind of the task'),
  examples: described(v.optional(v.number()), 'Examples of the task'),
  acc: described(v.optional(v.number()), 'Share of the examples that are answered right'),
  accError: described(v.optional(v.number()), 'Its standard error'),
  accNorm: described(v.optional(v.number()), 'The same by likelihoods over lengths'),
  accNormError: described(v.optional(v.number()), 'Its standard error'),
};

export const evaluationSchema = v.object({
  format: described(v.literal('espalier.evaluation'), 'Marks the file as an evaluation'),
  version: described(v.literal(1), 'Version of the format'),
  evaluated: described(evaluated, 'The model that was evaluated'),
  other: described(v.optional(evaluated), 'The model that it is compared with'),
  removed: described(v.number(), 'Number of removed parts of the model'),
  text: described(v.optional(v.string()), 'The held-out text that was read'),
  task: described(v.optional(v.string()), 'The task that was answered'),
  ...measuredEntries,
  against: described(v.optional(v.object(measuredEntries)), 'The same of the other model'),
  compared: described(
    v.optional(
      v.object({
        ...{ difference: interval, retention: v.optional(v.number()) },
        ...{ gained: v.number(), lost: v.number(), chance: v.number() },
      }),
    ),
    'Differences between the answers of both models',
  ),
  perplexityRatio,
  ...predictionEntries,
  domains: described(v.optional(v.array(domain)), 'The same of each domain of the text'),
  verdict: described(
    v.optional(
      v.object({
        outcome: v.picklist(outcomes),
        limits: v.array(
          v.object({
            limit: v.string(),
            outcome: v.picklist(outcomes),
            measured: v.optional(interval),
          }),
        ),
      }),
    ),
    'Verdict by the limits',
  ),
  warnings: described(v.optional(v.array(v.string())), 'Warnings about the measurement'),
  ...originEntries,
});

/** Output of `espalier evaluate`, as read from a file. */
export type EvaluationDocument = v.InferOutput<typeof evaluationSchema>;

/** @throws UserError naming the file and the field. */
export const parseEvaluation = (text: string, file: string): EvaluationDocument =>
  parseDocument(evaluationSchema, text, file, say`an evaluation`);
