import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exampleContent, searchableText } from '../../data/datasets/example-content';
import type { ExampleContent } from '../../data/datasets/example-content';
import type { Dataset, DatasetOptions } from '../../data/datasets/dataset';
import { openDataset } from '../../data/datasets/open-dataset';
import { UserError } from '../../user-error';
import { printable } from '../../printable';
import { checkIndices, chooseExamples } from '../choose-examples';
import type { Choice } from '../choose-examples';
import { summarizeScores } from '../data-map';
import type { MapPoint, ScoreOverview } from '../data-map';
import { DataIssues } from '../neighbors/data-issues';
import { findExperiments } from '../subsets/experiment-document';
import type { Experiment } from '../subsets/experiment-document';
import { findExamples, rankExamples, scoredExample } from '../subsets/find-examples';
import type { ExampleQuery, Findable, ScoredExample } from '../subsets/find-examples';
import type { ScoreDocument } from './score-document';
import { readScores } from './score-files';
import type { SelectionDocument } from '../subsets/selection-document';
import { say, counted } from '../../message';
import type { Message } from '../../message';

/** Score file, and its dataset. */
export interface ScoredSource {
  /** Score file from Espalier or another tool. */
  readonly scores: string;
  /** Path of the dataset, if it differs from the one named in the scores. */
  readonly data?: string;
}

/** Data map without the dataset's contents. */
export interface DataMap {
  readonly overview: ScoreOverview;
  readonly experiments: readonly Experiment[];
  /** Warnings, such as about unreadable experiments. */
  readonly warnings: readonly Message[];
}

/** Dataset of a map, which takes longer to open than its scores. */
export interface MappedData {
  /** Absent if unknown. */
  readonly path?: string;
  /** Reason why the examples can't be shown, if any. */
  readonly problem?: Message;
  readonly warnings: readonly Message[];
}

/** Result of opening the dataset of a map. */
export interface OpenedData {
  readonly data: MappedData;
  /** Updated map, if the scores don't name a dataset and it adds information. */
  readonly map?: DataMap;
}

export interface ExamplePage {
  /** Number of examples that match the query. */
  readonly total: number;
  /** Page index from 0; the page with the `containing` example, if given. */
  readonly page: number;
  /** Rank of the `containing` example among the matches, from 0; absent if it doesn't match. */
  readonly place?: number;
  readonly items: readonly (ScoredExample & { readonly content?: ExampleContent })[];
}

/** Details of one example. */
export interface ExampleDetails extends ScoredExample {
  /** Larger preview than in a list. */
  readonly content?: ExampleContent;
  /** Path within a dataset of several files. */
  readonly place?: string;
  /** Absent if training dynamics are unknown. */
  readonly dynamics?: Pick<MapPoint, 'confidence' | 'variability' | 'correctness'>;
  /** Most similar examples, nearest first; empty without an embedding. */
  readonly neighbors: readonly { readonly index: number; readonly similarity: number }[];
}

/** Number of selected examples, in total and per class. */
export type ChoiceCounts = Pick<SelectionDocument, 'examples' | 'kept' | 'classes'>;

/**
 * Opens the dataset of scores with the options it was scored with, unless `asked` overrides them.
 * @returns dataset and all options it was opened with
 * @throws UserError if it is not the dataset that was scored.
 */
export async function openScored(
  document: ScoreDocument,
  file: string,
  asked: DatasetOptions = {},
): Promise<{ readonly dataset: Dataset; readonly options: DatasetOptions }> {
  const options = { ...document.dataset?.options, ...asked };
  const dataset = await openDataset(file, options);
  const { examples } = document;
  if (dataset.size !== examples) {
    throw new UserError(
      'score-count-mismatch',
      say`It has ${counted(dataset.size, 'example')}, but the file has ${counted(examples, 'score')}.`,
      { file, remedy: say`Choose the dataset that was scored.` },
    );
  }
  const fingerprint = document.dataset?.fingerprint;
  if (fingerprint !== undefined && fingerprint !== dataset.fingerprint) {
    throw new UserError('scores-other-dataset', say`This dataset doesn't match the scores.`, {
      file,
      remedy: say`Choose the dataset that was scored, or score this one again.`,
    });
  }
  return { dataset, options };
}

/** Scores together with their dataset, if available. */
export class ScoredData {
  #document: ScoreDocument;
  #dataset: Dataset | undefined;
  #opening: Promise<OpenedData> | undefined;
  #issues: DataIssues;
  /** Sorted order of the last query. */
  #ranked: { readonly key: string; readonly order: Uint32Array } | undefined;

  private constructor(
    private readonly source: ScoredSource,
    document: ScoreDocument,
  ) {
    this.#document = document;
    this.#issues = new DataIssues(document);
  }

  /**
   * Reads scores. The dataset is opened later by {@link data}.
   * @throws UserError if there are no readable scores.
   */
  public static async open(source: ScoredSource): Promise<ScoredData> {
    return new ScoredData(source, await readScores(source.scores));
  }

  public async map(): Promise<DataMap> {
    const document = this.#document;
    const path = this.source.data ?? document.dataset?.path ?? this.source.scores;
    const fingerprint = document.dataset?.fingerprint ?? this.#dataset?.fingerprint;
    const found =
      fingerprint === undefined
        ? { experiments: [], warnings: [] }
        : await findExperiments(this.source.scores, fingerprint);
    return { overview: summarizeScores(document, basename(path), this.#issues), ...found };
  }

  /**
   * Opens the dataset once. If it is missing or doesn't match, examples can't be shown, but scores remain available.
   */
  public async data(): Promise<OpenedData> {
    this.#opening ??= this.#openData();
    return this.#opening;
  }

  async #openData(): Promise<OpenedData> {
    const document = this.#document;
    const path = this.source.data ?? (await findDataset(document, this.source.scores));
    if (path === undefined) {
      const problem = say`These scores don't specify their dataset.`;
      return { data: { problem, warnings: [] } };
    }
    try {
      const { dataset } = await openScored(document, path);
      const { labels, classNames, warnings } = dataset;
      this.#dataset = dataset;
      if (document.labels.length === 0) {
        this.#document = { ...document, labels: [...labels], classNames: [...classNames] };
        this.#issues = new DataIssues(this.#document);
      }
      const isNamed = document.dataset !== undefined;
      return { data: { path, warnings }, ...(isNamed ? {} : { map: await this.map() }) };
    } catch (error) {
      if (!(error instanceof UserError)) {
        throw error;
      }
      return { data: { problem: error.whole, warnings: [] } };
    }
  }

  public examples(query: ExampleQuery): ExamplePage {
    const findable = this.#findable;
    const { order, similarity, similarTo } = query;
    const key = JSON.stringify([order, similarity, similarTo]);
    if (this.#ranked?.key !== key) {
      this.#ranked = { key, order: rankExamples(findable, query) };
    }
    const found = findExamples(findable, query, this.#ranked.order);
    const { containing, pageSize } = query;
    const place = containing === undefined ? -1 : found.indexOf(containing);
    const page = place < 0 ? query.page : Math.floor(place / pageSize);
    const start = page * pageSize;
    return {
      total: found.length,
      page,
      ...(place < 0 ? {} : { place }),
      items: found.slice(start, start + pageSize).map((index) => ({
        ...scoredExample(findable, index, similarity),
        ...this.#previewContent(index, 'card'),
      })),
    };
  }

  /** @throws UserError for an index out of range. */
  public details(index: number, similarity?: number): ExampleDetails {
    const document = this.#document;
    checkIndices('index', [index], document.examples);
    const [confidence, variability, correctness] = [
      document.confidence[index],
      document.variability[index],
      document.correctness[index],
    ];
    const isMapped =
      confidence !== undefined && variability !== undefined && correctness !== undefined;
    const place = this.#dataset?.place?.(index);
    return {
      ...scoredExample(this.#findable, index, similarity),
      ...this.#previewContent(index, 'whole'),
      ...(place === undefined ? {} : { place: printable(place) }),
      ...(isMapped ? { dynamics: { confidence, variability, correctness } } : {}),
      neighbors: this.#issues.embedding?.neighbors(index) ?? [],
    };
  }

  public count(choice: Choice): ChoiceCounts {
    const { examples, kept, classes } = chooseExamples(this.#document, choice, this.#issues);
    return { examples, kept, classes };
  }

  get #findable(): Findable {
    const [dataset, document, issues] = [this.#dataset, this.#document, this.#issues];
    return {
      document,
      issues,
      ...(dataset === undefined ? {} : { textOf: (index) => searchableText(dataset, index) }),
    };
  }

  #previewContent(index: number, much: 'card' | 'whole'): { readonly content?: ExampleContent } {
    const dataset = this.#dataset;
    return dataset === undefined ? {} : { content: exampleContent(dataset, index, much) };
  }
}

/** Path of the dataset that scores name: the recorded path, or next to the scores if both were moved. */
async function findDataset(
  { dataset }: ScoreDocument,
  scores: string,
): Promise<string | undefined> {
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

/** Information on a dataset before scoring. */
export interface DatasetSummary {
  readonly name: string;
  readonly examples: number;
  readonly classes: number;
  /** [channels, height, width] for images; [0] for texts. */
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
