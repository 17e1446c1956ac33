import { basename } from 'node:path';
import { l10n } from 'vscode';
import { mean } from '../../core/datadiet/scores/statistics';
import { removeStale } from '../../core/jobs/partial';
import { dataDiet } from '../../core/operations/data-diet';
import type { GivenOf } from '../../core/operations/fields';
import { scoreData } from '../../core/operations/score-data';
import { scoreText } from '../../core/operations/score-text';
import { convertScores } from '../../core/operations/convert-scores';
import { exportData } from '../../core/operations/export-data';
import type { OperationOf } from '../../core/operations/operations';
import { selectData } from '../../core/operations/select-data';
import { dataOperations } from '../../protocol/data';
import type { DataOperation } from '../../protocol/data';
import type { JobService } from './job-service';
import type { ResultOf } from './operations';
import type { DataMaps } from '../sessions/data-maps';
import type { Settings } from '../settings';
import { counts } from '../counts';

/** An operation that writes from a data map, and what it is asked. */
export type DataExport = {
  [Id in DataOperation]: {
    readonly operation: Id;
    readonly given: GivenOf<OperationOf<Id>['fields']>;
  };
}[DataOperation];

/** The jobs around data sets and texts: what becomes of their results. */
export class DataJobs {
  readonly #jobs: JobService;
  readonly #settings: Settings;

  public constructor(jobs: JobService, settings: Settings, dataMaps: DataMaps) {
    this.#jobs = jobs;
    this.#settings = settings;
    jobs.handle('score-data', {
      done: async ({ examples, suspected }, { request: { out: scores } }) => {
        await dataMaps.reload(scores);
        await dataMaps.show({ scores });
        const figures = [counts.examples(examples), counts.suspects(suspected)];
        const summary = l10n.t('Scored {0}: {1}.', ...figures);
        return { summary, shown: true };
      },
      isShown: ({ request }) => dataMaps.shows(request.out),
    });
    jobs.handle('data-diet', {
      done: async ({ rows }, { request }) => {
        await dataMaps.reloadData(request.data);
        return { summary: l10n.t('Compared {0}.', counts.subsets(rows.length)), shown: true };
      },
      isShown: ({ request }) => dataMaps.shows(request.data),
    });
    jobs.handle('score-text', {
      done: ({ scores }, { request: { out = '' } }) => ({
        summary: l10n.t(
          '{0}: {1}, mean EL2N {2}. Whether the hardest calibrate better than random ones depends on the model: measure both.',
          ...[basename(out), counts.windows(scores.length), mean(scores).toFixed(3)],
        ),
      }),
    });
    for (const operation of dataOperations) {
      jobs.handle(operation, {
        done: (result, { request: { out } }) => {
          const examples = 'kept' in result ? result.kept : result.examples;
          return {
            summary: l10n.t('Exported {0} to {1}.', counts.examples(examples), basename(out)),
          };
        },
        // A process that did not stop by itself was ended, and could not clean up.
        stopped: async ({ request }) => removeStale(request.out).catch(() => undefined),
        isShown: ({ request }) => request.scores !== undefined && dataMaps.shows(request.scores),
      });
    }
  }

  /** Scores how much each example of a data set matters. */
  public async score(given: GivenOf<typeof scoreData.fields>): Promise<ResultOf<'score-data'>> {
    const request = this.#settings.request(scoreData, given);
    return this.#jobs.run({ operation: 'score-data', name: basename(request.data), request });
  }

  /** Compares training on subsets of a data set. */
  public async compareSubsets(
    given: GivenOf<typeof dataDiet.fields>,
  ): Promise<ResultOf<'data-diet'>> {
    const request = this.#settings.request(dataDiet, given);
    return this.#jobs.run({ operation: 'data-diet', name: basename(request.data), request });
  }

  /** Scores how hard each window of a text is for a model. */
  public async scoreText(
    name: string,
    given: GivenOf<typeof scoreText.fields>,
  ): Promise<ResultOf<'score-text'>> {
    const request = this.#settings.request(scoreText, given);
    return this.#jobs.run({ operation: 'score-text', name, request });
  }

  /** Writes what was chosen of a data set, or its scores. */
  public async export(
    name: string,
    { operation, given }: DataExport,
    out: string,
  ): Promise<ResultOf<DataOperation>> {
    const jobs = this.#jobs;
    switch (operation) {
      case 'export-data': {
        const request = this.#settings.request(exportData, { ...given, out });
        return jobs.run({ operation, name, request });
      }
      case 'select-data': {
        const request = this.#settings.request(selectData, { ...given, out });
        return jobs.run({ operation, name, request });
      }
      case 'convert-scores': {
        const request = this.#settings.request(convertScores, { ...given, out });
        return jobs.run({ operation, name, request });
      }
    }
  }
}
