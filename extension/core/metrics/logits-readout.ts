import type { ModelInput } from '../models/model-input';
import { stream } from '../models/model-emitter';
import type { ModelEmitter } from '../models/model-emitter';
import { DataType } from '../onnx/graph-builder';
import { Head } from '../runtime/head';
import type { HeadSample } from '../runtime/head';
import type { LayeredExecutor, OwnGraph } from '../runtime/layered-executor';
import { floatsOf, floatTensor, int64Tensor } from '../runtime/tensors';
import type { HiddenState, Tensor, Tensors } from '../runtime/tensors';
import { LogitsMeter } from './logits-meter';
import type { Metric, MetricName } from './metrics';
import { firstAsked, MetricReadout, nextTokens } from './row-readout';
import type { AfterRun, Rows } from './row-readout';
import { sampleVocabulary } from './vocabulary-sample';

/** More rows than this in one run make the head's matrix product no faster. */
const maxRows = 64;
/** Fewer leave it waiting for memory. */
const minRows = 8;
/** Arrays of the size of the logits that are in use at once; those of ONNX Runtime are rounded up to powers of two. */
const arraysPerRun = 6;
/**
 * Ids that stand for a vocabulary, drawn for at most {@link maxRows} rows: distances are off by some 0.5 %, their
 * differences by a tenth of what the choice of the text makes (docs/research/speed.md).
 */
const sampledIds = 3072;
/** Rows in one run of a sample, whose weights are gathered for each run. */
const maxSampledRows = 512;

/** The share of a vocabulary that its sample is; 1 where it is too small for one. */
export function sampledShare(vocabularySize = 0): number {
  return vocabularySize >= 2 * sampledIds ? sampledIds / vocabularySize : 1;
}

/** What a metric reads of some rows of the original. */
interface OriginalRows {
  /** Its normed stream, where a linear head gives changes by itself. */
  readonly normed: Tensor | undefined;
  readonly read: Tensors;
  /** Ids behind the rows, int64 [1, rows]; their places where a sample stands for the vocabulary. */
  readonly targets: Tensor;
  readonly sample: HeadSample | undefined;
  /** Whether they stay for the next call. */
  readonly isKept: boolean;
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
  public override readonly isSampled: boolean;
  /** What was read of the original, by the first row and the last; the first to come are kept. */
  private readonly known = new Map<HiddenState, Map<string, OriginalRows>>();

  /** @param samples whether some ids may stand for the vocabulary, which takes a metric of probabilities */
  public constructor(
    private readonly executor: LayeredExecutor,
    name: MetricName,
    metric: Metric,
    original: LayeredExecutor,
    private readonly emitters: {
      readonly candidates: ModelEmitter;
      readonly reference: ModelEmitter;
    },
    samples: boolean,
  ) {
    super(metric);
    const { candidates, reference } = emitters;
    this.isSampled = samples && metric.needsScores && sampledShare(candidates.vocabularySize) < 1;
    this.givesChange =
      executor === original && candidates.headIsLinear && !metric.reads.includes('candidate');
    const given = this.givesChange ? 'change' : 'candidate';
    this.meter = new LogitsMeter(executor, name, metric, given);
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
    const perRun = this.isSampled ? maxSampledRows : this.rowsPerRun();
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
    this.known.clear();
  }

  private rowsPerRun(): number {
    const { vocabularySize } = this.emitters.candidates;
    const bytesPerRow = vocabularySize * Float32Array.BYTES_PER_ELEMENT * arraysPerRun;
    const fitting = Math.floor(this.executor.shares.readoutBytes / bytesPerRow);
    return Math.max(minRows, Math.min(maxRows, fitting));
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
    const drawn = this.isSampled ? await this.draw(state, start, end, next) : undefined;
    const found = {
      normed: this.givesChange ? await this.head.normed(hidden) : undefined,
      read: this.meter.readsOriginal
        ? await this.meter.originalOf(
            drawn === undefined
              ? await this.originalHead.logits(hidden)
              : await this.originalHead.sampledLogits(hidden, drawn.sample),
          )
        : {},
      targets: int64Tensor(drawn?.places ?? next, [1, next.length]),
      sample: drawn?.sample,
    };
    states.letGo(hidden);
    const rows = { ...found, isKept: originalRoom.take(bytesOf(found)) };
    if (rows.isKept) {
      this.known.set(state, ofState.set(key, rows));
    }
    return rows;
  }

  /** Ids for some rows of the original, the ones that come next among them, and the places of those. */
  private async draw(
    state: HiddenState,
    start: number,
    end: number,
    next: Int32Array,
  ): Promise<{ sample: HeadSample; places: Int32Array }> {
    const masses = new Float32Array(this.emitters.candidates.vocabularySize);
    const perRun = this.rowsPerRun();
    for (let from = start; from < end; from += perRun) {
      const rows = { start: from, end: Math.min(from + perRun, end) };
      const hidden = await this.executor.states.join([state], stream, rows);
      const logits = await this.originalHead.logits(hidden);
      this.executor.states.letGo(hidden);
      const found = await this.executor.compute(massGraph, { z: logits });
      floatsOf(found, 'masses').forEach((mass, id) => {
        masses[id] = (masses[id] ?? 0) + mass;
      });
    }
    const known = next.filter((id) => id >= 0);
    const { ids, logWeights } = sampleVocabulary(masses, sampledIds, known);
    const places = new Map(Array.from(ids, (id, place) => [id, place]));
    return {
      sample: {
        ids: int64Tensor(ids, [ids.length]),
        logWeights: floatTensor(logWeights, [ids.length]),
      },
      places: next.map((id) => places.get(id) ?? -1),
    };
  }
}

/** Each id's probability, summed over rows, from logits [1, rows, vocabulary]. */
const massGraph: OwnGraph = {
  key: 'masses',
  build: (graph) => {
    const z = graph.input('z', DataType.FLOAT, [1, 'rows', 'vocabulary']);
    const probabilities = graph.op('Softmax', [z], { axis: -1 });
    const masses = graph.reduce('ReduceSum', probabilities, [0, 1], 0);
    graph.output('masses', masses, DataType.FLOAT, ['vocabulary']);
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
