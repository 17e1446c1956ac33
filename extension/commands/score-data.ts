import { UserError } from '../core/user-error';
import { describeError } from '../services/report-error';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { l10n, ProgressLocation, window, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { DatasetSummary } from '../core/datadiet/scores/scored-data';
import { datasetOptions } from '../core/operations/data-fields';
import type { datasetFields } from '../core/operations/data-fields';
import type { GivenOf } from '../core/operations/fields';
import { scoreData as operation } from '../core/operations/score-data';
import type { DataScoring } from '../core/operations/score-data';
import { fileExists, defaultScoresPath } from '../services/documents/documents';
import type { Services } from '../services/services';
import { assertAllowed, explainDataBlocked } from '../services/trust';
import { askText, choose } from './questions/ask';
import { chooseProxy, chooseScore, chooseTrainings } from './questions/ask-scoring';
import { confirmAnew } from './questions/confirm-replace';
import { pickData, toUri } from './target';
import { counts } from '../services/counts';
import { followedBy, steps } from './questions/steps';

type Given = GivenOf<typeof operation.fields>;
type DatasetGiven = GivenOf<typeof datasetFields>;

/** Answers given in advance to the questions of the command. */
export interface ScoreDataOptions extends Given {
  /** Replace existing scores without asking. */
  readonly overwrite?: boolean;
}

/** Trains small models on a dataset and scores the importance of each example. */
export async function scoreData(
  services: Services,
  argument: unknown,
  given: ScoreDataOptions = {},
): Promise<DataScoring | undefined> {
  const uri =
    toUri(argument) ??
    (await followedBy(3, async () => pickData(l10n.t('Score Dataset: choose it'))));
  if (uri === undefined) {
    return undefined;
  }
  assertAllowed(explainDataBlocked({ trusted: workspace.isTrusted, scheme: uri.scheme }));
  const asked = await askRequest(services, uri.fsPath, given);
  if (asked === undefined) {
    return undefined;
  }
  const request = services.settings.request(operation, asked);
  return services.jobs.run({ operation: 'score-data', name: basename(request.data), request });
}

async function askRequest(
  services: Services,
  data: string,
  { overwrite, ...given }: ScoreDataOptions,
): Promise<Given | undefined> {
  const looked = await followedBy(3, async () => lookAt(services, data, given));
  if (looked === undefined) {
    return undefined;
  }
  const { summary, more } = looked;
  const title = l10n.t(
    'Score {0}: {1}, {2}',
    summary.name,
    counts.examples(summary.examples),
    counts.classes(summary.classes),
  );
  const proxy =
    given.model === undefined
      ? await followedBy(2, async () => chooseProxy(services, title, summary))
      : {};
  const score = proxy && (given.score ?? (await followedBy(1, async () => chooseScore(title))));
  const trainings =
    score &&
    (given.runs !== undefined && given.epoch !== undefined
      ? { runs: given.runs, epoch: given.epoch }
      : await chooseTrainings(title, score));
  if (proxy === undefined || score === undefined || trainings === undefined) {
    return undefined;
  }
  const out = given.out ?? (await placeFor(data));
  const replaces = await fileExists(out);
  if (replaces && overwrite !== true && !(await confirmAnew(out, l10n.t('Score Again')))) {
    return undefined;
  }
  return { ...given, ...more, ...proxy, ...trainings, data, score, out };
}

/**
 * Opens the dataset to detect its type, and asks for anything that its files do not say.
 */
async function lookAt(
  services: Services,
  data: string,
  given: DatasetGiven,
): Promise<{ summary: DatasetSummary; more: DatasetGiven } | undefined> {
  for (let more: DatasetGiven = {}; ;) {
    const options = datasetOptions({ ...given, ...more });
    try {
      const summary = await steps().once(async () =>
        window.withProgress(
          { location: ProgressLocation.Window, title: l10n.t('Reading {0}', basename(data)) },
          async () => services.dataReader.request('summarize', { data, options }),
        ),
      );
      return { summary, more };
    } catch (error) {
      if (!(error instanceof UserError)) {
        throw error;
      }
      const answer = await askOptions(basename(data), describeError(error));
      if (answer === undefined) {
        return undefined;
      }
      more = { ...more, ...answer };
    }
  }
}

async function askOptions(name: string, problem: string): Promise<DatasetGiven | undefined> {
  const label: QuickPickItem = { label: l10n.t('Choose the column with the labels…') };
  const size: QuickPickItem = { label: l10n.t('Resize all images…') };
  const chosen = await choose([label, size], {
    title: l10n.t("{0} can't be read in its current state", name),
    placeHolder: problem,
  });
  if (chosen === undefined) {
    return undefined;
  }
  if (chosen === label) {
    const column = await askText({ title: label.label, prompt: problem });
    return column === undefined ? undefined : { label: column.trim() };
  }
  const typed = await askText({
    title: size.label,
    value: '32x32',
    prompt: l10n.t('Height and width in pixels.'),
    validateInput: (value) =>
      parseSize(value) === undefined ? l10n.t('Write a size such as 32x32.') : undefined,
  });
  const imageSize = parseSize(typed ?? '');
  return imageSize === undefined ? undefined : { imageSize };
}

function parseSize(text: string): string | undefined {
  const [, height, width] = /^\s*([1-9]\d{0,4})\s*[x×]\s*([1-9]\d{0,4})\s*$/.exec(text) ?? [];
  return height === undefined || width === undefined ? undefined : `${height}x${width}`;
}

/** Folder next to the dataset, or in the workspace if that is not writable. */
async function placeFor(data: string): Promise<string> {
  const scoresPath = defaultScoresPath(data);
  const [folder] = workspace.workspaceFolders ?? [];
  const writable = await access(dirname(scoresPath), constants.W_OK).then(
    () => true,
    () => false,
  );
  return writable || folder === undefined
    ? scoresPath
    : join(folder.uri.fsPath, basename(scoresPath));
}
