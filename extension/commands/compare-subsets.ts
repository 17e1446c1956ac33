import { basename } from 'node:path';
import { l10n, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { documentNames } from '../core/document-names';
import type { DietResult } from '../core/datadiet/subsets/diet-experiment';
import { scoreKinds } from '../core/datadiet/scores/score-document';
import { formatPercent } from '../core/format';
import { dataDiet } from '../core/operations/data-diet';
import { datasetGiven } from '../core/operations/data-fields';
import type { GivenOf } from '../core/operations/fields';
import type { DataMapSession } from '../services/sessions/data-map-session';
import { fileExists } from '../services/documents/documents';
import type { Services } from '../services/services';
import { assertAllowed, explainDataBlocked } from '../services/trust';
import { chooseProxy } from './questions/ask-scoring';
import { confirmAnew } from './questions/confirm-replace';
import { resolveDataMap, scoresUnreadable, waitForData } from './open-data-map';
import { choose } from './questions/ask';
import { say } from '../core/message';
import { followedBy } from './questions/steps';

type Given = GivenOf<typeof dataDiet.fields>;

/** Answers given in advance to the questions of the command. */
export interface CompareSubsetsOptions {
  readonly request?: Given;
}

type Choices = Pick<Given, 'keep' | 'policy' | 'offset'>;

/** Trains on subsets of a dataset, selected by score and at random, and shows the accuracy of each. */
export async function compareSubsets(
  services: Services,
  argument: unknown,
  options: CompareSubsetsOptions = {},
): Promise<DietResult | undefined> {
  const session = await resolveDataMap(services, argument);
  if (session === undefined) {
    return undefined;
  }
  assertAllowed(explainDataBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const asked = options.request ?? (await askRequest(services, session));
  if (asked === undefined) {
    return undefined;
  }
  const request = services.settings.request(dataDiet, asked);
  return services.jobs.run({ operation: 'data-diet', name: basename(request.data), request });
}

async function askRequest(services: Services, session: DataMapSession): Promise<Given | undefined> {
  if (!(await waitForData(session))) {
    return undefined;
  }
  const { map, source, data: { path: data, problem } = {} } = session;
  if (map === undefined || data === undefined) {
    throw scoresUnreadable(source, say`Choose the dataset that was scored.`, problem);
  }
  const { score, scoring, dataset, name } = map.overview;
  const options = dataset?.options ?? {};
  const title = l10n.t('Compare subsets of {0}', name);
  const summary = await services.dataReader.request('summarize', { data, options });
  const proxy = await followedBy(1, async () => chooseProxy(services, title, summary));
  const choices = proxy && (await chooseChoices(session, title));
  if (proxy === undefined || choices === undefined) {
    return undefined;
  }
  const out = `${source.scores.replace(/(\.scores)?\.\w+$/, '')}${documentNames.experiment.suffix}`;
  if ((await fileExists(out)) && !(await confirmAnew(out, l10n.t('Compare Again')))) {
    return undefined;
  }
  const epoch = scoring?.epoch ?? 3;
  return {
    ...{ ...datasetGiven(options), ...proxy, ...choices, data, out },
    score: [`${scoreKinds.find((kind) => kind === score) ?? 'el2n'}@${epoch}`],
    ...(scoring === undefined ? {} : { runs: scoring.runs }),
    epochs: Math.max(3, epoch),
    unbalanced: !session.subset.request.balanced,
  };
}

async function chooseChoices(session: DataMapSession, title: string): Promise<Choices | undefined> {
  const { keep, policy, offset = 0 } = session.subset.request;
  const items: readonly (QuickPickItem & { choices: Choices })[] = [
    {
      label: l10n.t('The hardest 50 % and 20 %'),
      detail: l10n.t('Leave out the hardest examples; their number is chosen on validation data.'),
      choices: {},
    },
    {
      label: l10n.t('Selection in the map: {0} by policy {1}', formatPercent(keep), policy),
      detail: l10n.t('Marked examples are trained on too.'),
      choices: {
        keep: [keep],
        policy: [policy],
        ...(policy === 'window' ? { offset: [offset] } : {}),
      },
    },
  ];
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('Compare which subsets? (random and full are always included)'),
  });
  return chosen?.choices;
}
