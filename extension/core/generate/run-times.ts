import { seededRandom } from '../data/random';
import { checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { median } from '../median';
import { say } from '../message';
import type { LayeredModel } from '../models/layered-model';
import type { RunTimes, TokenTimes } from '../tensornet/sensitivity/sensitivity-profile';
import type { DeviceName } from '../runtime/device';
import type { Decoder } from './decoder';
import { timed } from './latency';
import { openDecoder } from './open-decoder';

/** Turns that count, after one to warm up; tokens that are read first, and generated in each. */
const [turns, promptLength, tokensPerTurn] = [6, 128, 8];

/**
 * Times a token of the whole model, and of the model without all sublayers of a kind: what that kind takes, linear
 * layers, norms and attention itself. Undefined of models that don't generate, or keep nothing between tokens, and where
 * memory doesn't hold all weights in float32.
 */
export async function measureRunTimes(
  model: LayeredModel,
  where: { readonly device: DeviceName; readonly memoryBytes: number },
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<RunTimes | undefined> {
  const { sublayers, parameters } = model.summary;
  if (parameters * Float32Array.BYTES_PER_ELEMENT > where.memoryBytes) {
    return undefined;
  }
  const kinds = [...new Set(sublayers.map(({ kind }) => kind))];
  const times: TokenTimes[] = [];
  for (const [done, kind] of [undefined, ...kinds].entries()) {
    context.progress({
      stage: say`Timing the model`,
      ...{ done, total: 1 + kinds.length, unit: 'steps', moreFollows: true },
    });
    const removed = sublayers.flatMap((one) => (one.kind === kind ? one.id : []));
    const decoder = await openDecoder(model, { ...where, removed });
    try {
      if (decoder.rereads !== undefined) {
        return undefined;
      }
      times.push(await timesOf(decoder, model, context));
    } finally {
      await decoder.dispose();
    }
  }
  const [whole, ...without] = times;
  return (
    whole && {
      whole,
      without: kinds.flatMap((kind, i) =>
        without[i] === undefined ? [] : { kind, ...without[i] },
      ),
    }
  );
}

/** The fastest of several turns: others were held up by what else the machine does. */
async function timesOf(
  decoder: Decoder,
  { summary: { vocabularySize = 1, maxPositions = Number.POSITIVE_INFINITY } }: LayeredModel,
  { cancellation }: Pick<JobContext, 'cancellation'>,
): Promise<TokenTimes> {
  const random = seededRandom(0);
  const anyToken = (): number => Math.floor(random() * vocabularySize);
  const length = Math.max(1, Math.min(promptLength, maxPositions - tokensPerTurn));
  let [decodeMsPerToken, prefillMsPerToken] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let turn = 0; turn <= turns; turn++) {
    await checkpoint(cancellation);
    decoder.rewind(0);
    const prompt = Int32Array.from({ length }, anyToken);
    const prefill = await timed(async () => decoder.read(prompt));
    const steps: number[] = [];
    for (let step = 0; step < tokensPerTurn; step++) {
      steps.push(await timed(async () => decoder.read(Int32Array.of(anyToken()))));
    }
    // The first run of a session allocates its buffers.
    if (turn > 0) {
      decodeMsPerToken = Math.min(decodeMsPerToken, median(steps));
      prefillMsPerToken = Math.min(prefillMsPerToken, prefill / length);
    }
  }
  return { decodeMsPerToken, prefillMsPerToken };
}
