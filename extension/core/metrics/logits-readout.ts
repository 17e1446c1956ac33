import type { ModelInput } from '../models/model-input';
import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import type { Value } from '../onnx/graph-builder';
import { Head } from '../runtime/head';
import type { HeadSample } from '../runtime/head';
import { gathersLogits } from '../runtime/head-rows';
import type { LayeredExecutor, OwnGraph } from '../runtime/layered-executor';
import { byteLength, floatsOf, floatTensor, int64Tensor } from '../runtime/tensors';
import type { HiddenState, Tensor, Tensors } from '../runtime/tensors';
import { LogitsMeter } from './logits-meter';
import type { Metric, MetricName } from './metrics';
import { firstAsked, MetricReadout, nextTokens } from './row-readout';
import type { AfterRun, Rows } from './row-readout';
import type { Vocabulary } from './vocabulary';
import { likeliestIds, sampleVocabulary } from './vocabulary-sample';

/** More rows than this in one run make the head's matrix product no faster. */
const maxRows = 64;
/** Fewer leave it waiting for memory. */
const minRows = 8;
/** Arrays of the size of the logits that are in use at once; those of ONNX Runtime are rounded up to powers of two. */
const arraysPerRun = 6;
/**
 * Ids that stand for a vocabulary, drawn for at most {@link maxRows} rows: distances are off by some 0.5 %, their
 * differences by a tenth of what the choice of the text makes (bench/finercut/NOTES.md).
 */
const sampledIds = 3072;
/** Rows in one run of a sample, whose weights are gathered for each run. */
const maxSampledRows = 512;

/** Likeliest ids that distances are bounded by: 0.96 of SmolLM2-135M's at least, for a sixth of its head's products. */
export const boundedIds = 8192;
/** None of them is drawn, so none counts for more than itself. */
const noWeights = floatTensor(new Float32Array(boundedIds), [boundedIds]);

/** The share of a vocabulary that a sample or the likeliest ids are; 1 where it is too small for either. */
export function shareOfIds(vocabulary: Vocabulary, vocabularySize = 0): number {
  const ids = { whole: vocabularySize, sampled: sampledIds, bounded: boundedIds }[vocabulary];
  return vocabularySize >= 2 * ids ? ids / vocabularySize : 1;
}

/** What a metric reads of some rows of the original. */
interface OriginalRows {
  /** Its normed stream, where a linear head gives changes by itself. */
  readonly normed: Tensor | undefined;
  readonly read: Tensors;
  /** Ids behind the rows, int64 [1, rows]; their places among the chosen ones. */
  readonly targets: Tensor;
  readonly sample: HeadSample | undefined;
  /** Whether they stay for the next call. */
  readonly isKept: boolean;
}

/** Ids that some rows of the original are read at. */
interface ChosenIds {
  readonly sample: HeadSample;
  /** Where the id behind each row is among them, −1 where it is not. */
  readonly places: Int32Array;
  /** log Σ exp z of each row over all ids, float32 [1, rows, 1]. */
  readonly logSums: Tensor;
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
  public override readonly vocabulary: Vocabulary;
  /** Whether the metric is read over bounded ids as well, here or beside this. */
  private readonly hasBounds: boolean;
  /** What was read of the original, by the first row and the last; the first to come are kept. */
  private readonly known = new Map<HiddenState, Map<string, OriginalRows>>();
  /** Ids by the same. */
  private readonly chosen = new Map<HiddenState, Map<string, ChosenIds>>();

  /** @param vocabulary what terms may be taken over, which takes a metric of probabilities and a large vocabulary */
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
    rows: Rows = { from: 0, to: lengthOf(original) },
    afterRun?: AfterRun,
  ): Promise<Float32Array[]> {
    const perRun = this.vocabulary === 'sampled' ? maxSampledRows : this.rowsPerRun();
    const perChunk = Math.min(perRun, maxRows);
    const terms = candidates.map(() => new Float32Array(rows.to - rows.from));
    const asked = firstAsked(this.executor.model, input);
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
            // Logits that are no numbers have no bound.
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
          states.letGo(...tensorsOf(reference));
        }
      }
    }
    return terms;
  }

  public rows(_input: ModelInput, original: HiddenState): Promise<number> {
    return Promise.resolve(lengthOf(original));
  }

  public override end(): void {
    const { states, originalRoom } = this.executor;
    for (const rows of [...this.known.values()].flatMap((ofState) => [...ofState.values()])) {
      states.letGo(...tensorsOf(rows));
      originalRoom.giveBack(bytesOf(rows));
    }
    for (const ids of [...this.chosen.values()].flatMap((ofState) => [...ofState.values()])) {
      originalRoom.giveBack(bytesOfIds(ids));
    }
    this.known.clear();
    this.chosen.clear();
  }

  private isLargeFor(vocabulary: Vocabulary): boolean {
    return shareOfIds(vocabulary, this.emitters.candidates.vocabularySize) < 1;
  }

  private mayBound(): boolean {
    const isKnown = this.metric.emitBounds !== undefined && this.isLargeFor('bounded');
    return isKnown && this.rowsFitting('bounded') >= maxRows;
  }

  /** @param vocabulary what logits are over */
  private rowsPerRun(vocabulary = this.vocabulary): number {
    const most = vocabulary === 'bounded' ? maxSampledRows : maxRows;
    return Math.max(minRows, Math.min(most, this.rowsFitting(vocabulary)));
  }

  /**
   * Rows that the memory for a metric's arrays holds, beside the head's weights that bounds gather. Sessions keep
   * their arrays: those over all ids and those over bounded ones have half of it each.
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
    const ofState = this.known.get(state) ?? new Map<string, OriginalRows>();
    const key = `${start}-${end}`;
    const known = ofState.get(key);
    if (known !== undefined) {
      return known;
    }
    const { states, originalRoom } = this.executor;
    const hidden = await states.join([state], stream, { start, end });
    const next = nextTokens(this.executor.model, input, lengthOf(state), { from: start, to: end });
    const ids =
      this.vocabulary === 'whole' ? undefined : await this.idsFor(state, start, end, next);
    const found = {
      normed: this.givesChange ? await this.head.normed(hidden) : undefined,
      read: this.meter.readsOriginal
        ? await this.meter.originalOf(
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
    const rows = { ...found, isKept: originalRoom.take(bytesOf(found)) };
    if (rows.isKept) {
      this.known.set(state, ofState.set(key, rows));
    }
    return rows;
  }

  /** Ids for some rows of the original, kept where there is room; those that come next are among the drawn ones. */
  private async idsFor(
    state: HiddenState,
    start: number,
    end: number,
    next: Int32Array,
  ): Promise<ChosenIds> {
    const ofState = this.chosen.get(state) ?? new Map<string, ChosenIds>();
    const key = `${start}-${end}`;
    const known = ofState.get(key);
    if (known !== undefined) {
      return known;
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
      floatsOf(found, 'masses').forEach((mass, id) => {
        masses[id] = (masses[id] ?? 0) + mass;
      });
      logSums.set(floatsOf(found, 'logSums'), from - start);
    }
    const { ids, logWeights } = this.choose(masses, next);
    const rows = this.head === this.originalHead ? await this.head.rowsOf(ids) : undefined;
    const places = new Map(Array.from(ids, (id, place) => [id, place]));
    const chosen = {
      sample: { ids: int64Tensor(ids, [ids.length]), logWeights, rows },
      places: next.map((id) => places.get(id) ?? -1),
      logSums: floatTensor(logSums, [1, logSums.length, 1]),
    };
    if (this.executor.originalRoom.take(bytesOfIds(chosen))) {
      this.chosen.set(state, ofState.set(key, chosen));
    }
    return chosen;
  }

  private choose(
    masses: Float32Array,
    next: Int32Array,
  ): { readonly ids: Int32Array; readonly logWeights: Tensor } {
    if (this.vocabulary === 'bounded') {
      return { ids: likeliestIds(masses, boundedIds), logWeights: noWeights };
    }
    const asked = next.filter((id) => id >= 0);
    const { ids, logWeights } = sampleVocabulary(masses, sampledIds, asked);
    return { ids, logWeights: floatTensor(logWeights, [ids.length]) };
  }
}

/** From logits [1, rows, vocabulary]: each id's probability, summed over rows, and each row's log Σ exp z. */
const massGraph: OwnGraph = {
  key: 'masses',
  build: (graph) => {
    const z = graph.input('z', DataType.FLOAT, [1, 'rows', 'vocabulary']);
    const probabilities = graph.op('Softmax', [z], { axis: -1 });
    const masses = graph.reduce('ReduceSum', probabilities, [0, 1], 0);
    graph.output('masses', masses, DataType.FLOAT, ['vocabulary']);
    // The likeliest id's logarithm of its probability is its logit less the one of the sum.
    const largest = (x: Value): Value => graph.reduce('ReduceMax', x, [-1], 1);
    const logSums = graph.op('Sub', [largest(z), graph.op('Log', [largest(probabilities)])]);
    graph.output('logSums', logSums, DataType.FLOAT, [1, 'rows', 1]);
  },
};

/** Tokens of one example. */
function lengthOf({ values }: HiddenState): number {
  return values[stream]?.dims[1] ?? 1;
}

type RowTensors = Pick<OriginalRows, 'normed' | 'read'>;

const tensorsOf = ({ normed, read }: RowTensors): Tensor[] => [
  ...(normed === undefined ? [] : [normed]),
  ...Object.values(read),
];

function bytesOf(rows: RowTensors): number {
  const elements = tensorsOf(rows).reduce((sum, { size }) => sum + size, 0);
  return elements * Float32Array.BYTES_PER_ELEMENT;
}

function bytesOfIds({ sample, places, logSums }: ChosenIds): number {
  const { ids, logWeights, rows } = sample;
  const kept = [ids, logSums, ...(logWeights === noWeights ? [] : [logWeights])];
  return (
    places.byteLength +
    [...kept, ...Object.values(rows?.feeds ?? {})].reduce((sum, one) => sum + byteLength(one), 0)
  );
}
