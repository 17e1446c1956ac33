import type { ModelInput } from '../models/model-input';
import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import type { Value } from '../onnx/graph-builder';
import { Head } from '../runtime/head';
import type { HeadSample } from '../runtime/head';
import { gathersLogits } from '../runtime/head-rows';
import type { LayeredExecutor, OwnGraph } from '../runtime/layered-executor';
import { byteLength, floatOutput, floatTensor, int64Tensor } from '../runtime/tensors';
import type { HiddenState, Tensor, Tensors } from '../runtime/tensors';
import { LogitsMeter } from './logits-meter';
import type { Metric, MetricName } from './metrics';
import { firstAnswerRow, MetricReadout, nextTokens } from './row-readout';
import type { AfterRun, Rows } from './row-readout';
import type { Vocabulary } from './vocabulary-sums';
import { mostProbableIds, sampleVocabulary } from './vocabulary-sample';

/** Rows per run of the head; more don't make its matmul faster. */
const maxRows = 64;
/** Rows below which the head's matmul is limited by memory bandwidth. */
const minRows = 8;
/** Arrays of the logits' size that are in use at once, including ONNX Runtime's rounding up to powers of two. */
const arraysPerRun = 6;
/**
 * Vocabulary ids sampled for at most {@link maxRows} rows. Distances are off by about 0.5 %, differences between
 * distances by a tenth of the effect of the choice of text (bench/finercut/NOTES.md).
 */
const sampledIds = 3072;
/** Memory of the original that stays free for sampled ids, in bytes: ids of some 100 times {@link maxRows} rows. */
const reservedForIds = 4 << 20;
/** Rows per run over sampled ids; the head's weights are gathered in each run. */
const maxSampledRows = 512;

/** Most probable ids used for lower bounds: at least 0.96 of SmolLM2-135M's mass for a sixth of the head's matmul. */
export const boundedIds = 8192;
/** Log weights of the most probable ids: all 0, since these ids aren't sampled. */
const noWeights = floatTensor(new Float32Array(boundedIds), [boundedIds]);

/** Share of the vocabulary that is read; 1 if the vocabulary is too small for a sample or bounds. */
export function vocabularyShare(vocabulary: Vocabulary, vocabularySize = 0): number {
  const ids = { whole: vocabularySize, sampled: sampledIds, bounded: boundedIds }[vocabulary];
  return vocabularySize >= 2 * ids ? ids / vocabularySize : 1;
}

/** Metric inputs from some rows of the original. */
interface OriginalRows {
  /** Hidden states after the final norm, if a linear head computes changes directly. */
  readonly normed: Tensor | undefined;
  readonly read: Tensors;
  /** Next token ids, int64 [1, rows]; indices into the selected ids if there is a sample. */
  readonly targets: Tensor;
  readonly sample: HeadSample | undefined;
  /** True if they are cached for the next call. */
  readonly isKept: boolean;
}

/** Ids at which some rows of the original are read. */
interface ChosenIds {
  readonly sample: HeadSample;
  /** Index of each row's next token among the selected ids, −1 if it isn't selected. */
  readonly places: Int32Array;
  /** log Σ exp z of each row over all ids, float32 [1, rows, 1]. */
  readonly logSums: Tensor;
}

/**
 * Runs the head and then the metric, a few rows at a time. A linear head gets the change of its input, so it returns
 * the change of the logits without cancellation.
 */
export class LogitsReadout extends MetricReadout {
  private readonly meter: LogitsMeter;
  private readonly head: Head;
  private readonly originalHead: Head;
  private readonly givesChange: boolean;
  public override readonly vocabulary: Vocabulary;
  /** True if bounds are read too, by this readout or a sibling. */
  private readonly hasBounds: boolean;
  /** Original rows by state, then by first and last row; rows are cached in order until memory is used up. */
  private readonly known = new RowCache<OriginalRows>();
  /** Selected ids, by state and rows. */
  private readonly chosen = new RowCache<ChosenIds>();

  /**
   * @param vocabulary ids that terms may be summed over; a subset needs a metric of probabilities and a large
   *   vocabulary
   */
  public constructor(
    private readonly executor: LayeredExecutor,
    name: MetricName,
    metric: Metric,
    original: LayeredExecutor,
    private readonly emitters: {
      readonly candidates: ModelEmitter;
      readonly reference: ModelEmitter;
    },
    vocabulary: Vocabulary,
  ) {
    super(metric);
    const { candidates, reference } = emitters;
    this.hasBounds = this.mayBound() && [executor, original].every(gathersLogits);
    const isGiven = vocabulary === 'bounded' ? this.hasBounds : metric.needsScores;
    this.vocabulary = isGiven && this.isLargeFor(vocabulary) ? vocabulary : 'whole';
    this.givesChange =
      executor === original && candidates.headIsLinear && !metric.reads.includes('candidate');
    const given = this.givesChange ? 'change' : 'candidate';
    const { emitTerms, emitBounds = emitTerms } = metric;
    this.meter =
      this.vocabulary === 'bounded'
        ? new LogitsMeter(executor, `${name}.bounds`, { ...metric, emitTerms: emitBounds }, given)
        : new LogitsMeter(executor, name, metric, given);
    this.head = Head.of(executor, candidates);
    this.originalHead = Head.of(original, reference);
  }

  public async rowTerms(
    input: ModelInput,
    original: HiddenState,
    candidates: readonly HiddenState[],
    rows: Rows = { from: 0, to: tokenCount(original) },
    afterRun?: AfterRun,
  ): Promise<Float32Array[]> {
    const perRun = this.vocabulary === 'sampled' ? maxSampledRows : this.rowsPerRun();
    const perChunk = Math.min(perRun, maxRows);
    const terms = candidates.map(() => new Float32Array(rows.to - rows.from));
    const asked = firstAnswerRow(this.executor.model, input);
    for (let start = Math.max(rows.from, asked); start < rows.to; start += perChunk) {
      const end = Math.min(start + perChunk, rows.to);
      const count = end - start;
      const { states } = this.executor;
      const batch = Math.max(1, Math.min(states.mostJoined, Math.floor(perRun / count)));
      const reference = await this.originalRows(input, original, start, end);
      try {
        for (let first = 0; first < candidates.length; first += batch) {
          const group = candidates.slice(first, first + batch);
          const hidden = await states.join(group, stream, { start, end });
          const given =
            reference.sample === undefined
              ? await this.head.logits(hidden, reference.normed)
              : await this.head.sampledLogits(hidden, reference.sample, reference.normed);
          states.letGo(hidden);
          const found = await this.meter.terms(reference.read, given, reference.targets);
          if (this.vocabulary === 'bounded') {
            // The bound of NaN logits is 0.
            found.forEach((bound, i) => {
              found[i] = bound > 0 ? bound : 0;
            });
          }
          group.forEach((_, i) => {
            terms[first + i]?.set(found.subarray(i * count, (i + 1) * count), start - rows.from);
          });
          await afterRun?.();
        }
      } finally {
        if (!reference.isKept) {
          states.letGo(...rowTensors(reference));
        }
      }
    }
    return terms;
  }

  public rows(_input: ModelInput, original: HiddenState): Promise<number> {
    return Promise.resolve(tokenCount(original));
  }

  public override end(): void {
    const { states, originalRoom } = this.executor;
    for (const rows of this.known.values()) {
      states.letGo(...rowTensors(rows));
      originalRoom.giveBack(rowBytes(rows));
    }
    for (const ids of this.chosen.values()) {
      originalRoom.giveBack(idBytes(ids));
    }
    this.known.clear();
    this.chosen.clear();
  }

  private isLargeFor(vocabulary: Vocabulary): boolean {
    return vocabularyShare(vocabulary, this.emitters.candidates.vocabularySize) < 1;
  }

  private mayBound(): boolean {
    const isKnown = this.metric.emitBounds !== undefined && this.isLargeFor('bounded');
    return isKnown && this.rowsFitting('bounded') >= maxRows;
  }

  /** @param vocabulary ids that the logits cover */
  private rowsPerRun(vocabulary = this.vocabulary): number {
    const most = vocabulary === 'bounded' ? maxSampledRows : maxRows;
    return Math.max(minRows, Math.min(most, this.rowsFitting(vocabulary)));
  }

  /**
   * Rows whose arrays fit in memory, after the head weights gathered for bounds. Sessions keep their arrays, so
   * sessions over all ids and sessions over bounded ids get half of the memory each.
   */
  private rowsFitting(vocabulary: Vocabulary): number {
    const { vocabularySize, hiddenSize } = this.emitters.candidates;
    const [ids, gathered] =
      vocabulary === 'bounded' ? [boundedIds, boundedIds * hiddenSize] : [vocabularySize, 0];
    const share = vocabulary === 'bounded' || this.hasBounds ? 0.5 : 1;
    const elements = (this.executor.shares.readoutBytes * share) / Float32Array.BYTES_PER_ELEMENT;
    return Math.floor((elements - gathered) / (ids * arraysPerRun));
  }

  private async originalRows(
    input: ModelInput,
    state: HiddenState,
    start: number,
    end: number,
  ): Promise<OriginalRows> {
    const known = this.known.find(state, start, end);
    if (known !== undefined) {
      return known;
    }
    const { states, originalRoom } = this.executor;
    const hidden = await states.join([state], stream, { start, end });
    const next = nextTokens(this.executor.model, input, tokenCount(state), {
      from: start,
      to: end,
    });
    const ids =
      this.vocabulary === 'whole' ? undefined : await this.idsFor(state, start, end, next);
    const found = {
      normed: this.givesChange ? await this.head.normed(hidden) : undefined,
      read: this.meter.readsOriginal
        ? await this.meter.readOriginal(
            ids === undefined
              ? await this.originalHead.logits(hidden)
              : await this.originalHead.sampledLogits(hidden, ids.sample),
            this.vocabulary === 'bounded' ? ids?.logSums : undefined,
          )
        : {},
      targets: int64Tensor(ids?.places ?? next, [1, next.length]),
      sample: ids?.sample,
    };
    states.letGo(hidden);
    const rows = { ...found, isKept: originalRoom.take(rowBytes(found), reservedForIds) };
    if (rows.isKept) {
      this.known.keep(state, start, end, rows);
    }
    return rows;
  }

  /** Selects ids for some rows of the original, cached if memory allows; next tokens are among the sampled ids. */
  private async idsFor(
    state: HiddenState,
    start: number,
    end: number,
    next: Int32Array,
  ): Promise<ChosenIds> {
    const known = this.chosen.find(state, start, end);
    if (known !== undefined) {
      const { sample } = known;
      const rows = sample.rows ?? (await this.rowsOf(idsIn(sample)));
      return { ...known, sample: { ...sample, rows } };
    }
    const masses = new Float32Array(this.emitters.candidates.vocabularySize);
    const logSums = new Float32Array(end - start);
    const perRun = this.rowsPerRun('whole');
    for (let from = start; from < end; from += perRun) {
      const rows = { start: from, end: Math.min(from + perRun, end) };
      const hidden = await this.executor.states.join([state], stream, rows);
      const logits = await this.originalHead.logits(hidden);
      this.executor.states.letGo(hidden);
      const found = await this.executor.compute(massGraph, { z: logits });
      floatOutput(found, 'masses').forEach((mass, id) => {
        masses[id] = (masses[id] ?? 0) + mass;
      });
      logSums.set(floatOutput(found, 'logSums'), from - start);
    }
    const { ids, logWeights } = this.choose(masses, next);
    const rows = await this.rowsOf(ids);
    const places = new Map(Array.from(ids, (id, place) => [id, place]));
    const chosen = {
      sample: { ids: int64Tensor(ids, [ids.length]), logWeights, rows },
      places: next.map((id) => places.get(id) ?? -1),
      logSums: floatTensor(logSums, [1, logSums.length, 1]),
    };
    // Reading the head's rows again takes much less than choosing their ids again.
    const { originalRoom } = this.executor;
    const bare = { ...chosen, sample: { ...chosen.sample, rows: undefined } };
    if (originalRoom.take(idBytes(chosen), reservedForIds)) {
      this.chosen.keep(state, start, end, chosen);
    } else if (originalRoom.take(idBytes(bare))) {
      this.chosen.keep(state, start, end, bare);
    }
    return chosen;
  }

  /** The head's rows of some ids, if they are read from the head of the original. */
  private async rowsOf(ids: Int32Array): Promise<HeadSample['rows']> {
    return this.head === this.originalHead ? this.head.rowsOf(ids) : undefined;
  }

  private choose(
    masses: Float32Array,
    next: Int32Array,
  ): { readonly ids: Int32Array; readonly logWeights: Tensor } {
    if (this.vocabulary === 'bounded') {
      return { ids: mostProbableIds(masses, boundedIds), logWeights: noWeights };
    }
    const asked = next.filter((id) => id >= 0);
    const { ids, logWeights } = sampleVocabulary(masses, sampledIds, asked);
    return { ids, logWeights: floatTensor(logWeights, [ids.length]) };
  }
}

/** From logits [1, rows, vocabulary]: probability of each id summed over rows, and log Σ exp z of each row. */
const massGraph: OwnGraph = {
  key: 'masses',
  build: (graph) => {
    const z = graph.input('z', DataType.FLOAT, [1, 'rows', 'vocabulary']);
    const probabilities = graph.op('Softmax', [z], { axis: -1 });
    const masses = graph.reduce('ReduceSum', probabilities, [0, 1], 0);
    graph.output('masses', masses, DataType.FLOAT, ['vocabulary']);
    // For the most probable id, log p = z − log Σ exp z.
    const largest = (x: Value): Value => graph.reduce('ReduceMax', x, [-1], 1);
    const logSums = graph.op('Sub', [largest(z), graph.op('Log', [largest(probabilities)])]);
    graph.output('logSums', logSums, DataType.FLOAT, [1, 'rows', 1]);
  },
};

/** Number of tokens of an example. */
function tokenCount({ values }: HiddenState): number {
  return values[stream]?.dims[1] ?? 1;
}

type RowTensors = Pick<OriginalRows, 'normed' | 'read'>;

const rowTensors = ({ normed, read }: RowTensors): Tensor[] => [
  ...(normed === undefined ? [] : [normed]),
  ...Object.values(read),
];

function rowBytes(rows: RowTensors): number {
  const elements = rowTensors(rows).reduce((sum, { size }) => sum + size, 0);
  return elements * Float32Array.BYTES_PER_ELEMENT;
}

const idsIn = ({ ids }: HeadSample): Int32Array =>
  Int32Array.from(ids.data as BigInt64Array, Number);

function idBytes({ sample, places, logSums }: ChosenIds): number {
  const { ids, logWeights, rows } = sample;
  const tensors = [ids, logSums, ...(logWeights === noWeights ? [] : [logWeights])];
  return (
    places.byteLength +
    [...tensors, ...Object.values(rows?.feeds ?? {})].reduce((sum, one) => sum + byteLength(one), 0)
  );
}

/** Values by rows of a state. */
class RowCache<Value> {
  readonly #values = new Map<HiddenState, Map<string, Value>>();

  public find(state: HiddenState, start: number, end: number): Value | undefined {
    return this.#values.get(state)?.get(`${start}-${end}`);
  }

  public keep(state: HiddenState, start: number, end: number, value: Value): void {
    const rows = this.#values.get(state) ?? new Map<string, Value>();
    this.#values.set(state, rows.set(`${start}-${end}`, value));
  }

  public values(): Value[] {
    return [...this.#values.values()].flatMap((rows) => [...rows.values()]);
  }

  public clear(): void {
    this.#values.clear();
  }
}
