import type { ModelInput } from '../models/example';
import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { Head } from '../runtime/head';
import type { LayeredExecutor } from '../runtime/layered-executor';
import { join, rowsOf } from '../runtime/tensors';
import type { HiddenState, Tensor, Tensors } from '../runtime/tensors';
import { LogitsMeter } from './logits-meter';
import type { Metric, MetricName } from './metrics';
import { MetricReadout, nextTokens } from './row-readout';
import type { AfterRun, Rows } from './row-readout';

/** More rows than this in one run make the head's matrix product no faster. */
const maxRows = 64;
/** Fewer leave it waiting for memory. */
const minRows = 8;
/** Arrays of the size of the logits that are in use at once. */
const arraysPerRun = 5;

/** What a metric reads of some rows of the original. */
interface OriginalRows {
  /** Its normed stream, where a linear head gives changes by itself. */
  readonly normed: Tensor | undefined;
  readonly read: Tensors;
}

/**
 * Head, then metric, some tokens at a time. Where the head is linear it is given the change of its
 * input, and so gives the change of the logits without the error of a difference.
 */
export class LogitsReadout extends MetricReadout {
  private readonly meter: LogitsMeter;
  private readonly head: Head;
  private readonly originalHead: Head;
  private readonly givesChange: boolean;
  /** What was read of the original, by the first row and the last; the first to come are kept. */
  private readonly known = new WeakMap<HiddenState, Map<string, OriginalRows>>();
  private knownBytes = 0;

  public constructor(
    private readonly executor: LayeredExecutor,
    name: MetricName,
    metric: Metric,
    original: LayeredExecutor,
    private readonly emitters: {
      readonly candidates: ModelEmitter;
      readonly reference: ModelEmitter;
    },
  ) {
    super(metric);
    const { candidates, reference } = emitters;
    this.givesChange =
      executor === original && candidates.headIsLinear && !metric.reads.includes('candidate');
    const given = this.givesChange ? 'change' : 'candidate';
    this.meter = new LogitsMeter(executor, name, metric, given);
    this.head = new Head(executor, candidates);
    this.originalHead = executor === original ? this.head : new Head(original, reference);
  }

  public async rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    rows: Rows = { from: 0, to: lengthOf(original) },
    afterRun?: AfterRun,
  ): Promise<Float32Array[]> {
    const perRun = this.rowsPerRun();
    const terms = candidates.map(() => new Float32Array(rows.to - rows.from));
    for (let start = rows.from; start < rows.to; start += perRun) {
      const end = Math.min(start + perRun, rows.to);
      const count = end - start;
      const batch = Math.max(1, Math.floor(perRun / count));
      const reference = await this.originalRows(original, start, end);
      const targets = nextTokens(input, lengthOf(original), start, end);
      for (let first = 0; first < candidates.length; first += batch) {
        const group = candidates.slice(first, first + batch);
        const hidden = join(group.map(({ values }) => rowsOf(values, stream, start, end)));
        const given = await this.head.logits(hidden, reference.normed);
        const found = await this.meter.terms(reference.read, given, targets);
        group.forEach((_, i) => {
          terms[first + i]?.set(found.subarray(i * count, (i + 1) * count), start - rows.from);
        });
        await afterRun?.();
      }
    }
    return terms;
  }

  public rows(_input: ModelInput, original: HiddenState): Promise<number> {
    return Promise.resolve(lengthOf(original));
  }

  private rowsPerRun(): number {
    const { vocabularySize } = this.emitters.candidates;
    const bytesPerRow = vocabularySize * Float32Array.BYTES_PER_ELEMENT * arraysPerRun;
    const fitting = Math.floor(this.executor.shares.readoutBytes / bytesPerRow);
    return Math.max(minRows, Math.min(maxRows, fitting));
  }

  private async originalRows(
    state: HiddenState,
    start: number,
    end: number,
  ): Promise<OriginalRows> {
    const ofState = this.known.get(state) ?? new Map<string, OriginalRows>();
    const key = `${start}-${end}`;
    const known = ofState.get(key);
    if (known !== undefined) {
      return known;
    }
    const hidden = rowsOf(state.values, stream, start, end);
    const rows = {
      normed: this.givesChange ? await this.head.normed(hidden) : undefined,
      read: this.meter.readsOriginal
        ? await this.meter.originalOf(await this.originalHead.logits(hidden))
        : {},
    };
    const bytes = bytesOf(rows);
    if (this.knownBytes + bytes <= this.executor.shares.originalBytes) {
      this.knownBytes += bytes;
      this.known.set(state, ofState.set(key, rows));
    }
    return rows;
  }
}

/** Tokens of one example. */
function lengthOf({ values }: HiddenState): number {
  return values[stream]?.dims[1] ?? 1;
}

function bytesOf({ normed, read }: OriginalRows): number {
  const elements = Object.values(read).reduce((sum, { size }) => sum + size, normed?.size ?? 0);
  return elements * Float32Array.BYTES_PER_ELEMENT;
}
