import { basename } from 'node:path';
import { l10n, TabInputCustom, TabInputText, window, workspace } from 'vscode';
import type { Uri } from 'vscode';
import { documentIds, documentNames } from '../core/document-names';
import { report } from '../core/operations/report';
import type { WrittenReport } from '../core/operations/report';
import type { Services } from '../services/services';
import { commandTitle } from '../services/command-titles';
import { assertAllowed, explainBlocked } from '../services/trust';
import { askNewFile, askPath } from './questions/ask';
import { toUri } from './target';

/** Answers given in advance to the questions of the command, and options without a question. */
export interface WriteReportOptions {
  readonly out?: string;
  /** Path of another model, which the report compares with. */
  readonly against?: string;
  readonly weights?: boolean;
}

/** Writes a page to be shared: of what was clicked, what the active editor shows, or what the user picks. */
export async function writeReport(
  services: Services,
  argument: unknown,
  options: WriteReportOptions = {},
): Promise<WrittenReport | undefined> {
  const about = toUri(argument) ?? activeFile() ?? (await chooseDocument());
  if (about === undefined) {
    return undefined;
  }
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: about.scheme }));
  const out = options.out ?? (await chooseOut(about));
  if (out === undefined) {
    return undefined;
  }
  const { against, weights } = options;
  const compared = against === undefined ? {} : { against, weights: weights === true };
  const request = services.settings.request(report, { about: about.fsPath, out, ...compared });
  return services.jobs.run({ operation: 'report', name: basename(about.fsPath), request });
}

function activeFile(): Uri | undefined {
  const input = window.tabGroups.activeTabGroup.activeTab?.input;
  return input instanceof TabInputText || input instanceof TabInputCustom ? input.uri : undefined;
}

async function chooseDocument(): Promise<Uri | undefined> {
  return askPath({
    title: commandTitle('writeReport'),
    openLabel: l10n.t('Choose'),
    filters: { [l10n.t('Profiles, plans, evaluations and experiments')]: ['json'] },
  });
}

async function chooseOut(about: Uri): Promise<string | undefined> {
  const suffixes = [...documentIds.map((id) => documentNames[id].suffix), '.json'];
  const { length = 0 } = suffixes.find((one) => about.path.endsWith(one)) ?? {};
  const stem = about.path.slice(0, about.path.length - length);
  const target = await askNewFile({
    title: commandTitle('writeReport'),
    defaultUri: about.with({ path: `${stem}.report.html` }),
    saveLabel: l10n.t('Write'),
    filters: { HTML: ['html'], Markdown: ['md'] },
  });
  return target?.fsPath;
}
