import { seededRandom } from '../data/random';
import { CancelledError, checkpoint } from '../jobs/job';
import type { JobContext } from '../jobs/job';
import { say } from '../message';
import type { LayeredModel } from '../models/layered-model';
import type { SublayerKind } from '../models/model-summary';
import type { RunTimes, TokenTimes } from '../tensornet/sensitivity/sensitivity-profile';
import type { DeviceName } from '../runtime/device';
import type { Decoder } from './decoder';
import { timed } from './latency';
import { openDecoder } from './open-decoder';

/** Turns that count, after one to warm up; tokens that are read first, and generated in each. */
const [turns, promptLength, tokensPerTurn] = [6, 128, 8];

interface Where {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/**
 * Times a token of the whole model, and of the model without all sublayers of a kind: what that kind takes, linear
 * layers, norms and attention itself. They take turns, and the fastest run of each counts, as what else the machine does
 * holds others up. Undefined of models that keep nothing between tokens, where memory doesn't hold the weights of all in
 * float32, and, with a warning, where a run fails.
 */
export async function measureRunTimes(
  model: LayeredModel,
  where: Where,
  context: Pick<JobContext, 'cancellation' | 'progress' | 'warn'>,
): Promise<RunTimes | undefined> {
  try {
    return await timeRuns(model, where, context);
  } catch (error) {
    if (error instanceof CancelledError) {
      throw error;
    }
    // Sublayers run one at a time where the full model can't, such as a graph that reads fewer tokens than it declares.
    const reason = error instanceof Error ? error.message : String(error);
    context.warn(
      say`The full model can't be timed, so budgets of milliseconds count its linear layers only: ${reason}`,
    );
    return undefined;
  }
}

async function timeRuns(
  model: LayeredModel,
  where: Where,
  context: Pick<JobContext, 'cancellation' | 'progress'>,
): Promise<RunTimes | undefined> {
  const { sublayers, parameters } = model.summary;
  const kinds = [...new Set(sublayers.map(({ kind }) => kind))];
  const bytes = (1 + kinds.length) * parameters * Float32Array.BYTES_PER_ELEMENT;
  if (bytes > where.memoryBytes) {
    return undefined;
  }
  const decoders: TimedDecoder[] = [];
  try {
    for (const kind of [undefined, ...kinds]) {
      const removed = sublayers.flatMap((one) => (one.kind === kind ? one.id : []));
      const decoder = await openDecoder(model, { ...where, removed });
      decoders.push(new TimedDecoder(decoder, kind, model));
      if (decoder.rereads !== undefined) {
        return undefined;
      }
    }
    for (let turn = 0; turn <= turns; turn++) {
      context.progress({
        stage: say`Timing the model`,
        ...{ done: turn, total: turns, unit: 'steps', moreFollows: true },
      });
      for (const one of decoders) {
        await checkpoint(context.cancellation);
        // The first run of a session allocates its buffers.
        await one.turn(turn > 0);
      }
    }
    const [whole, ...without] = decoders;
    return (
      whole && {
        whole: whole.times,
        without: without.flatMap(({ kind, times }) => (kind ? { kind, ...times } : [])),
      }
    );
  } finally {
    await Promise.all(decoders.map(async (one) => one.dispose()));
  }
}

/** The fastest runs of a model so far. */
class TimedDecoder {
  private readonly random = seededRandom(0);
  private decode = Number.POSITIVE_INFINITY;
  private prefill = Number.POSITIVE_INFINITY;

  public constructor(
    private readonly decoder: Decoder,
    public readonly kind: SublayerKind | undefined,
    private readonly model: LayeredModel,
  ) {}

  public get times(): TokenTimes {
    return { decodeMsPerToken: this.decode, prefillMsPerToken: this.prefill };
  }

  /** Reads a prompt and generates behind it. */
  public async turn(counts: boolean): Promise<void> {
    const { decoder } = this;
    const { vocabularySize = 1, maxPositions = Number.POSITIVE_INFINITY } = this.model.summary;
    const length = Math.max(1, Math.min(promptLength, maxPositions - tokensPerTurn));
    const anyTokens = (count: number): Int32Array =>
      Int32Array.from({ length: count }, () => Math.floor(this.random() * vocabularySize));
    decoder.rewind(0);
    const prompt = anyTokens(length);
    const prefill = await timed(async () => decoder.read(prompt));
    for (let step = 0; step < tokensPerTurn; step++) {
      const token = anyTokens(1);
      const decode = await timed(async () => decoder.read(token));
      this.decode = counts ? Math.min(this.decode, decode) : this.decode;
    }
    this.prefill = counts ? Math.min(this.prefill, prefill / length) : this.prefill;
  }

  public async dispose(): Promise<void> {
    await this.decoder.dispose();
  }
}
