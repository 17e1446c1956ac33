import { seededRandom } from '../data/random';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { median } from '../statistics';
import type { OpenedModel } from '../models/opened-model';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { UserError } from '../user-error';
import { openDecoder, warnRereading } from './open-decoder';
import { counted, say } from '../message';

/** Model, prompt length and device of a latency measurement. */
export interface LatencyRequest {
  readonly model: OpenedModel;
  /** Prompt length in tokens. */
  readonly context: number;
  /** Number of generated tokens. */
  readonly tokens: number;
  /** Number of measured runs, after one warm-up run. */
  readonly repeats: number;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Medians over all measured runs. */
export interface Latency {
  /** Prefill time: from the prompt to the first logits, in milliseconds. */
  readonly prefillMs: number;
  /** Decode time per token, in milliseconds. */
  readonly decodeMsPerToken: number;
  readonly context: number;
  readonly tokens: number;
  readonly repeats: number;
  readonly device: string;
}

/** Measures prefill of the prompt and decode with the KV cache. */
export async function measureLatency(
  request: LatencyRequest,
  context: JobContext,
): Promise<Latency> {
  const { context: length, tokens, repeats } = request;
  const { model } = request.model;
  const { name, vocabularySize, maxPositions = Number.POSITIVE_INFINITY } = model.summary;
  if (length + tokens > maxPositions) {
    throw new UserError(
      'context-too-long',
      say`${length} + ${counted(tokens, 'token')} are more than ${name} can read.`,
      { field: 'context', remedy: say`Choose at most ${maxPositions - tokens}.` },
    );
  }
  const random = seededRandom(0);
  const anyToken = (): number => Math.floor(random() * (vocabularySize ?? 1));
  const device = await resolveDevice(request.device, (message) => {
    context.warn(message);
  });
  const prefills: number[] = [];
  const decodes: number[] = [];
  const decoder = await openDecoder(model, { ...request, device, removed: [] });
  warnRereading(name, decoder, context);
  try {
    for (let run = 0; run <= repeats; run++) {
      decoder.rewind(0);
      const prompt = Int32Array.from({ length }, anyToken);
      const prefill = await timed(async () => decoder.read(prompt));
      const steps: number[] = [];
      for (let step = 0; step < tokens; step++) {
        await checkpoint(context.cancellation);
        steps.push(await timed(async () => decoder.read(Int32Array.of(anyToken()))));
      }
      // The first run of a session allocates its buffers, so it is not measured.
      if (run > 0) {
        prefills.push(prefill);
        decodes.push(...steps);
      }
      context.progress({ stage: say`Timing ${name}`, done: run, total: repeats, unit: 'steps' });
    }
  } finally {
    await decoder.dispose();
  }
  return {
    prefillMs: median(prefills),
    decodeMsPerToken: median(decodes),
    ...{ context: length, tokens, repeats, device },
  };
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
