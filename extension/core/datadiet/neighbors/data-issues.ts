import { UserError } from '../../user-error';
import { say } from '../../message';
import type { ScoreDocument } from '../scores/score-document';
import { Embedding } from './embedding';
import { defaultSimilarity, issueKinds } from './issue-kinds';
import type { IssueKind } from './issue-kinds';

/** Quartiles above which an outlier lies: 3 times their distance (Tukey 1977, "far out"). */
const farOut = 3;

/** The first of the group of each example, and how many examples the group of each first one has. */
interface Groups {
  readonly similarity: number;
  readonly first: Int32Array;
  readonly sizes: Int32Array;
}

/** Issues of the examples of scores, computed once each. */
export class DataIssues {
  readonly #document: ScoreDocument;
  #embedding: Embedding | undefined;
  #groups: Groups | undefined;
  #outliers: Uint8Array | undefined;

  public constructor(document: ScoreDocument) {
    this.#document = document;
  }

  /** Where the examples lie; undefined where the scores keep no embedding. */
  public get embedding(): Embedding | undefined {
    const { embedding } = this.#document;
    this.#embedding ??= embedding === undefined ? undefined : new Embedding(embedding);
    return this.#embedding;
  }

  /** Kinds of issues that are known of these scores. */
  public get known(): readonly IssueKind[] {
    const { labelIssues, copies, outlierScores } = this.#document;
    const isKnown: Readonly<Record<IssueKind, boolean>> = {
      suspected: labelIssues.length > 0,
      duplicates: copies.length > 0,
      outliers: outlierScores.length > 0,
    };
    return issueKinds.filter((kind) => isKnown[kind]);
  }

  /** Whether an example has an issue. The first of a group of duplicates has one too. */
  public has(kind: IssueKind, index: number, similarity = defaultSimilarity): boolean {
    switch (kind) {
      case 'suspected':
        return this.#document.labelIssues[index] === 1;
      case 'duplicates':
        return this.groupSize(index, similarity) > 1;
      case 'outliers':
        return this.#farOut()[index] === 1;
    }
  }

  /**
   * Examples to leave out for an issue: of duplicates all but the first of each group.
   * @throws UserError where these scores don't know of such issues
   */
  public leaveOut(kind: IssueKind, similarity = defaultSimilarity): readonly number[] {
    if (!this.known.includes(kind)) {
      throw new UserError(say`These scores don't include ${kind}.`, {
        field: 'without',
        remedy: say`Score the data set again, with an embedding.`,
      });
    }
    return this.affected(kind, similarity);
  }

  /** The same, none where they are not known. */
  public affected(kind: IssueKind, similarity = defaultSimilarity): readonly number[] {
    if (!this.known.includes(kind)) {
      return [];
    }
    const { examples } = this.#document;
    const first = kind === 'duplicates' ? this.#groupsAt(similarity).first : undefined;
    const found: number[] = [];
    for (let index = 0; index < examples; index++) {
      if (first === undefined ? this.has(kind, index) : first[index] !== index) {
        found.push(index);
      }
    }
    return found;
  }

  /** The first of the examples that an example is a duplicate of, which is itself where it has none. */
  public firstOf(index: number, similarity = defaultSimilarity): number {
    return this.#groupsAt(similarity).first[index] ?? index;
  }

  /** How many examples are duplicates of each other with this one, which counts. */
  public groupSize(index: number, similarity = defaultSimilarity): number {
    const { first, sizes } = this.#groupsAt(similarity);
    return sizes[first[index] ?? index] ?? 1;
  }

  /** Whether an example has the same content as the first of its group. */
  public isCopy(index: number, first: number): boolean {
    const { copies } = this.#document;
    return copies[index] !== undefined && copies[index] === copies[first];
  }

  /**
   * The first of each example's group. An example joins one that is similar enough to itself, and no chain of similar
   * ones joins two that are not.
   */
  #groupsAt(similarity: number): Groups {
    if (this.#groups?.similarity === similarity) {
      return this.#groups;
    }
    const { copies, examples } = this.#document;
    const first = Int32Array.from({ length: examples }, (_, i) => copies[i] ?? i);
    const isFirst = new Uint8Array(examples);
    for (let index = 0; index < examples; index++) {
      if (first[index] !== index) {
        continue;
      }
      // Copies of one example may be all the neighbours that are kept of another.
      const others = this.embedding
        ?.similarTo(index, similarity)
        .map((other) => copies[other] ?? other);
      const known = others?.find((other) => isFirst[other] === 1);
      if (known !== undefined) {
        first[index] = known;
        continue;
      }
      isFirst[index] = 1;
      for (const other of others ?? []) {
        if (first[other] === other && isFirst[other] === 0) {
          first[other] = index;
        }
      }
    }
    // A copy is where the example that it copies has gone.
    copies.forEach((copied, index) => {
      if (copied !== index) {
        first[index] = first[copied] ?? copied;
      }
    });
    const sizes = new Int32Array(examples);
    for (const index of first) {
      sizes[index] = (sizes[index] ?? 0) + 1;
    }
    this.#groups = { similarity, first, sizes };
    return this.#groups;
  }

  /**
   * 1 for examples whose distance to their neighbours is far above that of the others. Copies lie at no distance from
   * each other and don't count as others, unless all examples are copies.
   */
  #farOut(): Uint8Array {
    if (this.#outliers === undefined) {
      const { copies, outlierScores } = this.#document;
      const copied = new Set(copies.filter((first, index) => first !== index));
      const single = outlierScores.filter((_, i) => (copies[i] ?? i) === i && !copied.has(i));
      const sorted = Float64Array.from(single.length > 0 ? single : outlierScores).sort();
      const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
      const fence = at(0.75) + farOut * (at(0.75) - at(0.25));
      this.#outliers = Uint8Array.from(outlierScores, (score) => (score > fence ? 1 : 0));
    }
    return this.#outliers;
  }
}
