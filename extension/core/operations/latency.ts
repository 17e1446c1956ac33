import * as v from 'valibot';
import { measureLatency } from '../generate/latency';
import type { Latency } from '../generate/latency';
import { integer } from './fields';
import { defineOperation } from './operation';
import { modelField, runFields, runOptions } from './shared-fields';

export const latency = defineOperation({
  id: 'latency',
  title: 'Measure Latency',
  verb: 'Timing',
  summary: 'Measure the speed of prefill and decoding.',
  group: 'measure',
  fields: {
    model: modelField,
    context: integer({
      description: 'Length of the prompt',
      default: 128,
      unit: 'tokens',
      min: 1,
    }),
    tokens: integer({
      description: 'Tokens to generate after it',
      default: 32,
      min: 1,
    }),
    repeats: integer({
      description: 'Timed runs, after one warm-up; results are medians',
      default: 5,
      min: 1,
    }),
    ...runFields,
  },
  rules: [],
  result: v.looseObject({ prefillMs: v.number(), decodeMsPerToken: v.number() }),
  trust: 'run',
  run: async (request, context): Promise<Latency> =>
    measureLatency(
      {
        ...request,
        model: await context.environment.open(request.model),
        ...runOptions(request),
      },
      context,
    ),
});
