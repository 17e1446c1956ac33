import { basename, dirname, join, resolve } from 'node:path';
import { l10n, Uri, window, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { documentNames } from '../core/document-names';
import type { DataExport, DataExportResult } from '../core/datadiet/scored-data';
import { UserError } from '../core/user-error';
import { formatCount, formatPercent } from '../core/format';
import type { DataMapSession } from '../services/data-map-session';
import type { Services } from '../services/services';
import { assertAllowed, whyDataBlocked } from '../services/trust';
import { askText } from './ask-text';
import { dataMapOf } from './open-data-map';
import { whyUnfit } from './choose-output';
import { counts } from '../services/counts';

/** Answers given beforehand, so that nothing is asked. */
export interface ExportSubsetOptions {
  readonly request?: DataExport;
  /** Path of the new folder or file. */
  readonly out?: string;
}

interface ExportItem extends QuickPickItem {
  readonly request: DataExport;
}

/** Writes what a data map's choice keeps, what is marked in it, or its scores. */
export async function exportSubset(
  services: Services,
  argument: unknown,
  options: ExportSubsetOptions = {},
): Promise<DataExportResult | undefined> {
  const session = await dataMapOf(services, argument);
  if (session === undefined) {
    return undefined;
  }
  assertAllowed(whyDataBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const request = options.request ?? (await chooseExport(services, session));
  const out = request && (options.out ?? (await choosePlace(session, request)));
  if (request === undefined || out === undefined) {
    return undefined;
  }
  const { source, map } = session;
  const name = map?.overview.name ?? basename(source.scores);
  return services.dataJobs.export(name, { ...source, request, out });
}

async function chooseExport(
  services: Services,
  session: DataMapSession,
): Promise<DataExport | undefined> {
  const { map, marks } = session;
  if (map === undefined) {
    throw new UserError(l10n.t('These scores cannot be read.'), { file: session.source.scores });
  }
  const choice = session.choice();
  const { kept } = await services.dataReader.request('count', { ...session.source, choice });
  const { keep, policy } = choice.request;
  const chosen = l10n.t(
    '{0}: {1} kept by policy {2}',
    counts.examples(kept),
    formatPercent(keep),
    policy,
  );
  const marked = l10n.t('{0} marked examples', formatCount(marks.length));
  const examples = { what: 'examples', indices: marks } as const;
  const items: ExportItem[] = [
    ...(map.data === undefined
      ? []
      : [
          {
            label: l10n.t('The chosen subset, as a data set'),
            description: chosen,
            request: { what: 'choice', choice, form: 'dataset' } as const,
          },
        ]),
    {
      label: l10n.t('Indices of the chosen subset'),
      description: chosen,
      request: { what: 'choice', choice, form: 'indices' },
    },
    ...(marks.length === 0
      ? []
      : [
          ...(map.data === undefined
            ? []
            : [
                {
                  label: l10n.t('The marked examples, as a data set'),
                  description: marked,
                  request: { ...examples, form: 'dataset' } as const,
                },
              ]),
          {
            label: l10n.t('Indices of the marked examples'),
            description: marked,
            request: { ...examples, form: 'indices' } as const,
          },
        ]),
    {
      label: l10n.t('Scores as a NumPy array'),
      description: '.npy',
      request: { what: 'scores', form: 'npy' },
    },
    {
      label: l10n.t('Scores for DeepCore'),
      description: '{indices, scores}',
      request: { what: 'scores', form: 'deepcore' },
    },
    ...(map.overview.mapped === 0
      ? []
      : [
          {
            label: l10n.t('Statistics of dataset cartography'),
            description: 'td_metrics.jsonl',
            request: { what: 'scores', form: 'cartography' } as const,
          },
        ]),
    ...(map.overview.suspected === undefined
      ? []
      : [
          {
            label: l10n.t('Label issues as a table, as of cleanlab'),
            description: '.csv',
            request: { what: 'scores', form: 'cleanlab' } as const,
          },
        ]),
  ];
  const picked = await window.showQuickPick(items, {
    title: l10n.t('Export from {0}', map.overview.name),
  });
  return picked?.request;
}

/** A data set becomes a new folder beside the old one; everything else is a file. */
async function choosePlace(
  session: DataMapSession,
  request: DataExport,
): Promise<string | undefined> {
  const source = session.source.scores;
  const stem = join(dirname(source), basename(source).replace(/(\.scores)?\.\w+$/, ''));
  if (request.form === 'dataset') {
    const data = session.map?.data ?? source;
    const path = `${stem}-${request.what === 'choice' ? 'subset' : 'marked'}`;
    const typed = await askText({
      title: l10n.t('Export Subset: new folder'),
      prompt: l10n.t('The data set is left as it is.'),
      value: path,
      valueSelection: [path.length - basename(path).length, path.length],
      validateInput: (value) => whyUnfit(value, data),
    });
    return typed === undefined ? undefined : resolve(dirname(data), typed.trim());
  }
  const endings = {
    indices: documentNames.selection.suffix,
    npy: '.scores.npy',
    deepcore: '.deepcore.json',
    cleanlab: '.labels.csv',
    cartography: '.td_metrics.jsonl',
    espalier: documentNames.scores.suffix,
  } as const;
  const target = await window.showSaveDialog({
    title: l10n.t('Export'),
    defaultUri: Uri.file(`${stem}${endings[request.form]}`),
    saveLabel: l10n.t('Export'),
    ...(request.form === 'indices' ? { filters: { [l10n.t('Indices')]: ['json', 'npy'] } } : {}),
  });
  return target?.fsPath;
}
