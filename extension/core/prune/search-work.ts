import type { LayeredModel } from '../models/layered-model';
import { vocabularyShare } from '../metrics/logits-readout';
import type { Vocabulary } from '../metrics/vocabulary';

/** What head and metric cost of one candidate, in products of a row with the head's matrix. */
const passesOverVocabulary = 2;

interface Spent {
  readonly evaluated: number;
  readonly read: number;
}

/** What a search has computed, all in evaluations: one sublayer run over one calibration sequence. */
export class SearchWork {
  private evaluated = 0;
  private read = 0;
  private readonly perReadout: Readonly<Record<Vocabulary, number>>;

  public constructor({ epilogue, emitter, summary: { sublayers } }: LayeredModel) {
    const parameters = sublayers.reduce((sum, one) => sum + one.parameters, 0);
    const bytes = (parameters * Float32Array.BYTES_PER_ELEMENT) / Math.max(1, sublayers.length);
    const whole = (passesOverVocabulary * epilogue.bytes) / Math.max(1, bytes);
    const costOf = (vocabulary: Vocabulary): number =>
      whole * vocabularyShare(vocabulary, emitter?.vocabularySize);
    this.perReadout = { whole, sampled: costOf('sampled'), bounded: costOf('bounded') };
  }

  /** Sublayer evaluations; a prefix of a sequence counts as its share. */
  public get evaluations(): number {
    return this.evaluated;
  }

  /** Sublayer evaluations, and head and metric as what they cost. */
  public get cost(): number {
    return this.evaluated + this.read;
  }

  /** What was computed so far: sublayer evaluations, and head and metric as what they cost. */
  public get spent(): Spent {
    return { evaluated: this.evaluated, read: this.read };
  }

  /** Counts what was computed elsewhere. */
  public add({ evaluated, read }: Spent): void {
    this.evaluated += evaluated;
    this.read += read;
  }

  public addSublayers(evaluations: number): void {
    this.evaluated += evaluations;
  }

  /** @param sequences shares of whole sequences count as such */
  public addReadouts(sequences: number, vocabulary: Vocabulary): void {
    this.read += this.readoutCost(sequences, vocabulary);
  }

  /** What head and metric cost over so many sequences, in evaluations. */
  public readoutCost(sequences: number, vocabulary: Vocabulary): number {
    return sequences * this.perReadout[vocabulary];
  }
}
