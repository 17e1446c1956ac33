import type { LayeredModel } from '../models/layered-model';
import { vocabularyShare } from '../metrics/logits-readout';
import type { Vocabulary } from '../metrics/vocabulary-sums';

/** Cost of LM head and metric for one candidate, in matmuls of a row with the LM head. */
const passesOverVocabulary = 2;

interface Spent {
  readonly evaluated: number;
  readonly read: number;
}

/** Work of a search in evaluations: one sublayer run over one calibration sequence. */
export class SearchWork {
  private evaluated = 0;
  private read = 0;
  private onCopy: SearchWork | undefined;
  private readonly perReadout: Readonly<Record<Vocabulary, number>>;

  /** @param modelWork work of the model if this is that of its int8 copy, which reads the whole vocabulary in float32 as well */
  public constructor(
    private readonly model: LayeredModel,
    private readonly modelWork?: SearchWork,
  ) {
    const { epilogue, emitter, summary } = model;
    const { sublayers } = summary;
    const parameters = sublayers.reduce((sum, one) => sum + one.parameters, 0);
    const bytes = (parameters * Float32Array.BYTES_PER_ELEMENT) / Math.max(1, sublayers.length);
    const whole = (passesOverVocabulary * epilogue.bytes) / Math.max(1, bytes);
    const readoutCostPerSequence = (vocabulary: Vocabulary): number =>
      whole * vocabularyShare(vocabulary, emitter?.vocabularySize);
    this.perReadout = {
      whole,
      sampled: readoutCostPerSequence('sampled'),
      bounded: readoutCostPerSequence('bounded'),
    };
  }

  /** Work on the int8 copy of the model, which is a part of this work. */
  public get copy(): SearchWork {
    this.onCopy ??= new SearchWork(this.model, this);
    return this.onCopy;
  }

  /** Sublayer evaluations; a prefix of a sequence counts proportionally. */
  public get evaluations(): number {
    return this.evaluated + (this.onCopy?.evaluations ?? 0);
  }

  /** Total cost in evaluations, including LM heads and metrics. */
  public get cost(): number {
    return this.evaluated + this.read + (this.onCopy?.cost ?? 0);
  }

  /** Work so far: sublayer evaluations, and cost of LM heads and metrics. */
  public get spent(): Spent {
    const { evaluated = 0, read = 0 } = this.onCopy?.spent ?? {};
    return { evaluated: this.evaluated + evaluated, read: this.read + read };
  }

  /** Adds work of another worker. */
  public add({ evaluated, read }: Spent): void {
    this.evaluated += evaluated;
    this.read += read;
  }

  public addSublayers(evaluations: number): void {
    this.evaluated += evaluations;
  }

  /** @param sequences number of sequences, possibly fractional */
  public addReadouts(sequences: number, vocabulary: Vocabulary): void {
    const own = vocabulary === 'whole' ? (this.modelWork ?? this) : this;
    own.read += this.readoutCost(sequences, vocabulary);
  }

  /** Cost of LM head and metric over a number of sequences, in evaluations. */
  public readoutCost(sequences: number, vocabulary: Vocabulary): number {
    return sequences * this.perReadout[vocabulary];
  }
}
