import { basename, dirname, join, resolve } from 'node:path';
import { l10n, Uri, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { DataMap } from '../core/datadiet/scores/scored-data';
import type { ScoreFormat } from '../core/datadiet/scores/score-format';
import { documentNames } from '../core/document-names';
import { formatPercent } from '../core/format';
import type { RequestShape } from '../core/operations/build-request';
import { convertScores } from '../core/operations/convert-scores';
import { exportData } from '../core/operations/export-data';
import type { GivenOf } from '../core/operations/fields';
import { selectData } from '../core/operations/select-data';
import type { DataOperation } from '../protocol/data';
import { counts } from '../services/counts';
import type { DataMapSession } from '../services/sessions/data-map-session';
import type { RequestOf, ResultOf } from '../services/jobs/operations';
import type { Services } from '../services/services';
import { assertAllowed, explainDataBlocked } from '../services/trust';
import { askNewFile, askText, choose } from './questions/ask';
import { explainUnfit } from './questions/choose-output';
import { resolveDataMap, scoresUnreadable, waitForData } from './open-data-map';
import { say } from '../core/message';

const declarations = {
  'export-data': exportData,
  'select-data': selectData,
  'convert-scores': convertScores,
} as const satisfies Readonly<Record<DataOperation, unknown>>;

/** An operation that writes from a data map, and its options. */
type DataExport = {
  readonly [Id in DataOperation]: {
    readonly operation: Id;
    readonly given: GivenOf<(typeof declarations)[Id]['fields']>;
  };
}[DataOperation];

/** Answers given in advance to the questions of the command. */
export interface ExportSubsetOptions {
  readonly request?: DataExport;
  /** Path of the new folder or file. */
  readonly out?: string;
}

interface ExportItem extends QuickPickItem {
  readonly description: string;
  readonly request: DataExport;
  /** Suffix that is added to the name of the scores for a new file. */
  readonly ending: string;
}

/** Options that select examples, independent of the output. */
type ChoiceGiven = Omit<GivenOf<typeof selectData.fields>, 'scores' | 'data' | 'out'>;

/** Exports the examples that a data map's selection keeps, the marked examples, or the scores. */
export async function exportSubset(
  services: Services,
  argument: unknown,
  options: ExportSubsetOptions = {},
): Promise<ResultOf<DataOperation> | undefined> {
  const session = await resolveDataMap(services, argument);
  if (session === undefined) {
    return undefined;
  }
  assertAllowed(explainDataBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const asked = await askExport(services, session, options);
  if (asked === undefined) {
    return undefined;
  }
  const { source, map } = session;
  const name = map?.overview.name ?? basename(source.scores);
  const { operation, given } = asked.request;
  const declaration: RequestShape = declarations[operation];
  const request = services.settings.request(declaration, { ...given, out: asked.out });
  return services.jobs.run({ operation, name, request: request as RequestOf<DataOperation> });
}

async function askExport(
  services: Services,
  session: DataMapSession,
  { request, out }: ExportSubsetOptions,
): Promise<{ readonly request: DataExport; readonly out: string } | undefined> {
  if (request !== undefined && out !== undefined) {
    return { request, out };
  }
  if (!(await waitForData(session))) {
    return undefined;
  }
  const { map, source } = session;
  if (map === undefined) {
    throw scoresUnreadable(source, say`Open them as a data map to see why.`);
  }
  const { kept } = await services.dataReader.request('count', {
    ...{ ...source, choice: session.choice },
  });
  const picked = await choose(exportItems(session, map, kept), {
    title: l10n.t('Export from {0}', map.overview.name),
  });
  if (picked === undefined) {
    return undefined;
  }
  const place = await choosePlace(session, picked);
  return place === undefined ? undefined : { request: picked.request, out: place };
}

function exportItems(
  { source: { scores }, choice, subset, marks, relabeled, data: mapped }: DataMapSession,
  { overview }: DataMap,
  kept: number,
): readonly ExportItem[] {
  const data = mapped?.path;
  const { without, similarity } = subset;
  const { request, leaveOut } = choice;
  const { balanced, ...rest } = request;
  const relabel = relabeled.map(({ index, label }) => `${index}=${label}`);
  const labels = relabel.length === 0 ? {} : { relabel };
  const issues = without.length === 0 ? {} : { without, similarity };
  const chosen = { ...rest, unbalanced: !balanced, ...(leaveOut && { leaveOut }), ...issues };
  const chosenText = l10n.t(
    '{0}: {1} kept by policy {2}',
    ...[counts.examples(kept), formatPercent(rest.keep), rest.policy],
  );
  const whole = { keep: 1, unbalanced: true };
  const marked = { ...whole, only: marks };
  const markedText = counts.markedExamples(marks.length);
  const folder = (given: ChoiceGiven, label: string, description: string, ending: string) =>
    data === undefined
      ? []
      : [
          {
            ...{ label, description, ending },
            request: { operation: 'export-data', given: { ...given, ...labels, scores, data } },
          } as const,
        ];
  const indices = (given: ChoiceGiven, label: string, description: string): ExportItem => ({
    ...{ label, description, ending: documentNames.selection.suffix },
    request: {
      operation: 'select-data',
      given: { ...given, ...labels, scores, ...(data === undefined ? {} : { data }) },
    },
  });
  return [
    ...(relabel.length === 0
      ? []
      : folder(
          whole,
          l10n.t('A copy of the whole dataset with the new labels'),
          counts.newLabels(relabel.length),
          '-relabeled',
        )),
    ...folder(chosen, l10n.t('The chosen subset, as a dataset'), chosenText, '-subset'),
    indices(chosen, l10n.t('Indices of the chosen subset'), chosenText),
    ...(marks.length === 0
      ? []
      : [
          ...folder(marked, l10n.t('The marked examples, as a dataset'), markedText, '-marked'),
          indices(marked, l10n.t('Indices of the marked examples'), markedText),
        ]),
    ...scoreItems(scores, overview),
  ];
}

/** The scores themselves, as other tools read them. */
function scoreItems(scores: string, { mapped, issues }: DataMap['overview']): ExportItem[] {
  const item = (
    format: ScoreFormat,
    { label, description, ending }: Pick<ExportItem, 'label' | 'description' | 'ending'>,
  ): ExportItem => ({
    ...{ label, description, ending },
    request: { operation: 'convert-scores', given: { scores, format } },
  });
  return [
    item('npy', {
      label: l10n.t('Scores as a NumPy array'),
      ...{ description: '.npy', ending: '.scores.npy' },
    }),
    item('deepcore', {
      label: l10n.t('Scores for DeepCore'),
      ...{ description: '{indices, scores}', ending: '.deepcore.json' },
    }),
    ...(mapped === 0
      ? []
      : [
          item('cartography', {
            label: l10n.t('Statistics of dataset cartography'),
            ...{ description: 'td_metrics.jsonl', ending: '.td_metrics.jsonl' },
          }),
        ]),
    ...(issues.suspected === undefined
      ? []
      : [
          item('cleanlab', {
            label: l10n.t('Label issues as a table, in the format of cleanlab'),
            ...{ description: '.csv', ending: '.labels.csv' },
          }),
        ]),
  ];
}

/** Asks for the output: a new folder next to the old one for a dataset, a file for everything else. */
async function choosePlace(
  { source: { scores }, data: mapped }: DataMapSession,
  { request: { operation }, ending }: ExportItem,
): Promise<string | undefined> {
  const stem = join(dirname(scores), basename(scores).replace(/(\.scores)?\.\w+$/, ''));
  const path = `${stem}${ending}`;
  const { writes } = declarations[operation].fields.out;
  if (writes === undefined) {
    const data = mapped?.path ?? scores;
    const typed = await askText({
      title: l10n.t('Export Subset: new folder'),
      prompt: l10n.t('The dataset is not changed.'),
      value: path,
      valueSelection: [path.length - basename(path).length, path.length],
      validateInput: (value) => explainUnfit(value, data),
    });
    return typed === undefined ? undefined : resolve(dirname(data), typed.trim());
  }
  const target = await askNewFile({
    title: l10n.t('Export'),
    defaultUri: Uri.file(path),
    saveLabel: l10n.t('Export'),
    ...(writes === 'selection'
      ? { filters: { [l10n.t('Indices')]: ['selection.json', 'npy'] } }
      : {}),
  });
  return target?.fsPath;
}
