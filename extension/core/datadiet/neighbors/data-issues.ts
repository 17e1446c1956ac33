import { UserError } from '../../user-error';
import { say } from '../../message';
import type { ScoreDocument } from '../scores/score-document';
import { Embedding } from './embedding';
import { defaultSimilarity, issueKinds } from './issue-kinds';
import type { IssueKind } from './issue-kinds';

/** Outlier threshold: number of interquartile ranges above the upper quartile (Tukey 1977, "far out"). */
const farOut = 3;

/** First example of each example's duplicate group, and group sizes indexed by that first example. */
interface Groups {
  readonly similarity: number;
  readonly first: Int32Array;
  readonly sizes: Int32Array;
}

/** Issues of scored examples, computed on first use. */
export class DataIssues {
  readonly #document: ScoreDocument;
  #embedding: Embedding | undefined;
  #groups: Groups | undefined;
  #outliers: Uint8Array | undefined;

  public constructor(document: ScoreDocument) {
    this.#document = document;
  }

  /** Embedding of the examples; undefined if the scores have none. */
  public get embedding(): Embedding | undefined {
    const { embedding } = this.#document;
    this.#embedding ??= embedding === undefined ? undefined : new Embedding(embedding);
    return this.#embedding;
  }

  /** Kinds of issues that these scores include. */
  public get known(): readonly IssueKind[] {
    const { labelIssues, copies, outlierScores } = this.#document;
    const isKnown: Readonly<Record<IssueKind, boolean>> = {
      suspected: labelIssues.length > 0,
      duplicates: copies.length > 0,
      outliers: outlierScores.length > 0,
    };
    return issueKinds.filter((kind) => isKnown[kind]);
  }

  /** True if an example has an issue. All members of a group of duplicates do, including the first. */
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
   * Examples to exclude for an issue: all of them, but for duplicates all except the first of each group.
   * @throws UserError if these scores don't include such issues
   */
  public leaveOut(kind: IssueKind, similarity = defaultSimilarity): readonly number[] {
    if (!this.known.includes(kind)) {
      throw new UserError('data-issues-missing', say`These scores don't include ${kind}.`, {
        field: 'without',
        remedy: say`Score the dataset again, with an embedding.`,
      });
    }
    return this.affected(kind, similarity);
  }

  /** Examples to exclude for an issue, none if unknown. */
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

  /** First example of the duplicate group of an example, which is itself if it has no duplicates. */
  public groupFirst(index: number, similarity = defaultSimilarity): number {
    return this.#groupsAt(similarity).first[index] ?? index;
  }

  /** Size of an example's duplicate group, 1 if it has no duplicates. */
  public groupSize(index: number, similarity = defaultSimilarity): number {
    const { first, sizes } = this.#groupsAt(similarity);
    return sizes[first[index] ?? index] ?? 1;
  }

  /** True if an example has identical content to the first of its group. */
  public isCopy(index: number, first: number): boolean {
    const { copies } = this.#document;
    return copies[index] !== undefined && copies[index] === copies[first];
  }

  /**
   * Assigns each example to a duplicate group. Members are similar to the first example itself; similarity is not
   * transitive.
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
      // Copies of one example can fill another's neighbor list, so copies are mapped to their original.
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
    // A copy belongs to the group of its original.
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
   * 1 for examples whose distance to their neighbors is far above that of the others. Copies have distance 0, so the
   * threshold ignores them, unless all examples are copies.
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
