import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exampleContent } from '../../data/datasets/example-content';
import type { ExampleContent } from '../../data/datasets/example-content';
import type { Dataset, DatasetOptions } from '../../data/datasets/dataset';
import { openDataset } from '../../data/datasets/open-dataset';
import { UserError } from '../../user-error';
import { chooseExamples } from '../choose-examples';
import type { Choice } from '../choose-examples';
import { openScored } from './open-scored';
import { overviewOf } from '../data-map';
import type { ScoreOverview } from '../data-map';
import { experimentsBeside } from '../subsets/experiment-document';
import type { Experiment } from '../subsets/experiment-document';
import { findExamples, scoredExample } from '../subsets/find-examples';
import type { ExampleQuery, ScoredExample } from '../subsets/find-examples';
import type { ScoreDocument } from './score-document';
import { readScores } from './score-files';
import type { SelectionDocument } from '../subsets/selection-document';
import { say } from '../../message';
import type { Message } from '../../message';

/** Where scores lie, and what they are of. */
export interface ScoredSource {
  /** File of scores, of Espalier or of another tool. */
  readonly scores: string;
  /** The data set, where it is another than the scores name. */
  readonly data?: string;
}

/** What a data map shows before single examples are asked for. */
export interface DataMap {
  readonly overview: ScoreOverview;
  /** Path of the data set; absent where it cannot be opened. */
  readonly data?: string;
  /** Why the examples themselves cannot be shown, if so. */
  readonly problem?: Message;
  readonly experiments: readonly Experiment[];
  /** Experiments that could not be read, and the like. */
  readonly warnings: readonly Message[];
}

export interface ExamplePage {
  /** Examples that pass the query. */
  readonly total: number;
  /** Counted from 0; the one with the example that is looked for, where there is one. */
  readonly page: number;
  /** Place among those that pass of the example that is looked for, from 0; absent if it does not. */
  readonly place?: number;
  readonly items: readonly (ScoredExample & { readonly content?: ExampleContent })[];
}

/** How many examples a choice keeps. */
export type ChoiceCounts = Pick<SelectionDocument, 'examples' | 'kept' | 'classes'>;

/** Scores together with the data set that they are of, where there is one. */
export class ScoredData {
  private constructor(
    private readonly source: ScoredSource,
    private readonly document: ScoreDocument,
    private readonly dataset: Dataset | undefined,
    private readonly path: string | undefined,
    private readonly problem: Message | undefined,
  ) {}

  /**
   * Reads scores and opens their data set. One that is missing or another keeps its examples from being
   * shown, not its scores.
   * @throws UserError when there are no scores to read.
   */
  public static async open(source: ScoredSource): Promise<ScoredData> {
    const document = await readScores(source.scores);
    const path = source.data ?? (await placeOf(document, source.scores));
    if (path === undefined) {
      const problem = say`These scores don't say which data set they belong to.`;
      return new ScoredData(source, document, undefined, undefined, problem);
    }
    try {
      const { dataset } = await openScored(document, path);
      const { labels, classNames } = dataset;
      const known =
        document.labels.length > 0
          ? document
          : { ...document, labels: [...labels], classNames: [...classNames] };
      return new ScoredData(source, known, dataset, path, undefined);
    } catch (error) {
      if (!(error instanceof UserError)) {
        throw error;
      }
      return new ScoredData(source, document, undefined, undefined, error.whole);
    }
  }

  public async map(): Promise<DataMap> {
    const { document, dataset, path, problem, source } = this;
    const named = path ?? document.dataset?.path ?? source.scores;
    const fingerprint = document.dataset?.fingerprint ?? dataset?.fingerprint;
    const { experiments, warnings } =
      fingerprint === undefined
        ? { experiments: [], warnings: [] }
        : await experimentsBeside(source.scores, fingerprint);
    return {
      overview: overviewOf(document, basename(named)),
      ...(path === undefined ? {} : { data: path }),
      ...(problem === undefined ? {} : { problem }),
      experiments,
      warnings: [...(dataset?.warnings ?? []), ...warnings],
    };
  }

  public examples(query: ExampleQuery): ExamplePage {
    const { document, dataset } = this;
    const found = findExamples(document, query);
    const { containing, pageSize } = query;
    const place = containing === undefined ? -1 : found.indexOf(containing);
    const page = place < 0 ? query.page : Math.floor(place / pageSize);
    const start = page * pageSize;
    return {
      total: found.length,
      page,
      ...(place < 0 ? {} : { place }),
      items: found.slice(start, start + pageSize).map((index) => ({
        ...scoredExample(document, index),
        ...(dataset === undefined ? {} : { content: exampleContent(dataset, index) }),
      })),
    };
  }

  public count(choice: Choice): ChoiceCounts {
    const { examples, kept, classes } = chooseExamples(this.document, choice);
    return { examples, kept, classes };
  }
}

/** Where the data set is that scores name: where it was, or beside the scores, as after a move. */
async function placeOf({ dataset }: ScoreDocument, scores: string): Promise<string | undefined> {
  if (dataset === undefined) {
    return undefined;
  }
  const beside = join(dirname(scores), basename(dataset.path));
  const exists = async (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    );
  return !(await exists(dataset.path)) && (await exists(beside)) ? beside : dataset.path;
}

/** What is to be known of a data set before it is scored. */
export interface DatasetSummary {
  readonly name: string;
  readonly examples: number;
  readonly classes: number;
  /** [channels, height, width] of images; [0] of texts. */
  readonly featureShape: readonly number[];
  readonly isText: boolean;
}

export async function summarizeDataset(
  path: string,
  options: DatasetOptions,
): Promise<DatasetSummary> {
  const dataset = await openDataset(path, options);
  return {
    name: dataset.name,
    examples: dataset.size,
    classes: dataset.classNames.length,
    featureShape: dataset.featureShape,
    isText: dataset.text !== undefined,
  };
}
