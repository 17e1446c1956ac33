import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exampleContent } from '../data/datasets/example-content';
import type { ExampleContent } from '../data/datasets/example-content';
import type { Dataset, DatasetOptions } from '../data/datasets/dataset';
import { exportPart } from '../data/datasets/export-part';
import { openDataset } from '../data/datasets/open-dataset';
import { npyBytes } from '../data/write-npy';
import type { PartContext } from '../data/datasets/write-part';
import { writeText } from '../jobs/write-document';
import { documentNames } from '../document-names';
import { UserError } from '../user-error';
import { openScored } from './open-scored';
import { overviewOf } from './data-map';
import type { ScoreOverview } from './data-map';
import { experimentsBeside } from './experiment-document';
import type { Experiment } from './experiment-document';
import { findExamples, scoredExample } from './find-examples';
import type { ExampleQuery, ScoredExample } from './find-examples';
import { scoresOf } from './score-document';
import type { ScoreDocument } from './score-document';
import { readScores, writeScores } from './score-files';
import type { ScoreFormat } from './score-files';
import { selectExamples } from './selection';
import type { SelectionRequest } from './selection';
import { selectionDocument, writeSelection } from './selection-document';
import type { SelectionDocument } from './selection-document';

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
  readonly problem?: string;
  readonly experiments: readonly Experiment[];
  /** Experiments that could not be read, and the like. */
  readonly warnings: readonly string[];
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

/** A choice by score among all examples but some. */
export interface Choice {
  readonly request: SelectionRequest;
  readonly leaveOut: readonly number[];
}

/** How many examples a choice keeps. */
export type ChoiceCounts = Pick<SelectionDocument, 'examples' | 'kept' | 'classes'>;

/** What is written, and in which form. */
export type DataExport =
  | { readonly what: 'choice'; readonly choice: Choice; readonly form: 'dataset' | 'indices' }
  | {
      readonly what: 'examples';
      readonly indices: readonly number[];
      readonly form: 'dataset' | 'indices';
    }
  | { readonly what: 'scores'; readonly form: ScoreFormat };

export interface DataExportResult {
  readonly examples: number;
  /** All that was written. */
  readonly files: readonly string[];
}

/** Scores together with the data set that they are of, where there is one. */
export class ScoredData {
  private constructor(
    private readonly source: ScoredSource,
    private readonly document: ScoreDocument,
    private readonly dataset: Dataset | undefined,
    private readonly path: string | undefined,
    private readonly problem: string | undefined,
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
      const problem = 'These scores do not say which data set they are of.';
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
      return new ScoredData(source, document, undefined, undefined, error.message);
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
    const { examples, kept, classes } = this.choose(choice);
    return { examples, kept, classes };
  }

  /**
   * Writes a choice, some examples, or the scores.
   * @param out a new folder for the data set's own form, with the choice beside it; else a file
   * @throws CancelledError, with nothing written.
   */
  public async export(
    request: DataExport,
    out: string,
    context: PartContext,
  ): Promise<DataExportResult> {
    const { document, dataset } = this;
    if (request.what === 'scores') {
      await writeScores(out, document, request.form);
      return { examples: document.examples, files: [out] };
    }
    const chosen = request.what === 'choice' ? this.choose(request.choice) : undefined;
    const indices = Int32Array.from(
      chosen?.indices ?? (request.what === 'examples' ? request.indices : []),
    ).sort();
    if (indices.length === 0) {
      throw new UserError('No example is chosen.', {
        remedy: 'Keep a larger share, or mark some examples.',
      });
    }
    if (request.form === 'indices') {
      await writeIndices(out, indices, chosen);
      return { examples: indices.length, files: [out] };
    }
    if (dataset === undefined) {
      throw new UserError(this.problem ?? 'The data set is not open.', {
        remedy: 'Choose the data set that was scored.',
      });
    }
    const files = await exportPart(dataset, indices, out, context);
    if (chosen === undefined) {
      return { examples: indices.length, files };
    }
    const beside = `${out}${documentNames.selection.suffix}`;
    await writeSelection(beside, chosen);
    return { examples: indices.length, files: [...files, beside] };
  }

  private choose({ request, leaveOut }: Choice): SelectionDocument {
    const { document } = this;
    const labels = Int32Array.from(document.labels);
    const out = new Set(leaveOut);
    const among = Int32Array.from({ length: document.examples }, (_, index) => index).filter(
      (index) => !out.has(index),
    );
    const known = labels.length === 0 ? undefined : labels;
    const indices = selectExamples(scoresOf(document), known, request, among);
    return selectionDocument(document, labels, request, indices);
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

async function writeIndices(
  out: string,
  indices: Int32Array,
  chosen: SelectionDocument | undefined,
): Promise<void> {
  if (chosen !== undefined) {
    await writeSelection(out, chosen);
    return;
  }
  const data = BigInt64Array.from(indices, BigInt);
  await writeText(
    out,
    out.endsWith('.npy')
      ? npyBytes({ dtype: 'I64', dims: [data.length], data })
      : `${JSON.stringify({ indices: [...indices] })}\n`,
  );
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
