import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { l10n, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { asSetting, buildRequest } from '../core/operations/build-request';
import { synthesize } from '../core/operations/synthesize';
import type { SynthesisResult } from '../core/symbolic/evolution/synthesize';
import type { RequestOfOperation } from '../protocol/worker';
import { fileExists } from '../services/documents/documents';
import type { Services } from '../services/services';
import { logPath } from '../services/sessions/synthesis-sessions';
import { assertAllowed, explainSynthesisBlocked } from '../services/trust';
import { askText, choose } from './questions/ask';
import { askNumber } from './questions/ask-scoring';
import { toUri } from './target';
import { followedBy } from './questions/steps';

type SynthesizeRequest = RequestOfOperation<'synthesize'>;

/** Answers given in advance to the questions of the command. */
export interface SynthesizeOptions {
  readonly request?: SynthesizeRequest;
}

type Data = SynthesizeRequest['data'];
type Extent = Pick<SynthesizeRequest, 'iterations' | 'population'>;

/** Enough to see how far apart runs of one network lie. */
const baselines = 3;

/** Searches for programs that build small networks, trains those, learns from the best, and shows the progress. */
export async function synthesizeModules(
  services: Services,
  argument: unknown,
  options: SynthesizeOptions = {},
): Promise<SynthesisResult | undefined> {
  assertAllowed(explainSynthesisBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const request = options.request ?? (await askRequest(argument));
  if (request === undefined) {
    return undefined;
  }
  services.syntheses.show(services.synthesisSessions.get(logPath(request.out)));
  return services.jobs.run({ operation: 'synthesize', name: basename(request.out), request });
}

async function askRequest(argument: unknown): Promise<SynthesizeRequest | undefined> {
  const title = l10n.t('Synthesize modules');
  const data = await followedBy(2, async () => chooseData(title));
  const extent = data && (await followedBy(1, async () => chooseExtent(title)));
  const out = extent && (await askFolder(title, toUri(argument)?.fsPath));
  if (data === undefined || extent === undefined || out === undefined) {
    return undefined;
  }
  const name = asSetting(synthesize.fields);
  return buildRequest(synthesize, { data, ...extent, baselines, out }, { name });
}

async function chooseData(title: string): Promise<Data | undefined> {
  const items: readonly (QuickPickItem & { mode: Data })[] = [
    {
      label: l10n.t('Faithful'),
      detail: l10n.t(
        'As published. The shape inside a shape reveals the label, and networks can exploit that.',
      ),
      mode: 'faithful',
    },
    {
      label: l10n.t('Balanced'),
      detail: l10n.t(
        'Without the images that reveal their label. Networks of this size have not learned it so far.',
      ),
      mode: 'balanced',
    },
  ];
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('Which images are the networks trained on?'),
  });
  return chosen?.mode;
}

async function chooseExtent(title: string): Promise<Extent | undefined> {
  const own: QuickPickItem = { label: l10n.t('Other values…') };
  const item = (
    iterations: number,
    population: number,
    detail: string,
  ): QuickPickItem & { extent: Extent } => ({
    label: l10n.t('{0} iterations of {1} graphs', iterations, population),
    detail,
    extent: { iterations, population },
  });
  const items = [
    item(3, 12, l10n.t('Minutes: enough to see differences between graphs.')),
    item(5, 50, l10n.t('As in the paper; hours.')),
  ];
  const chosen = await choose([...items, own], {
    title,
    placeHolder: l10n.t('How often are graphs searched for, and how many are trained each time?'),
  });
  if (chosen !== own) {
    return items.find((one) => one === chosen)?.extent;
  }
  const iterations = await followedBy(1, async () =>
    askNumber(title, l10n.t('Iterations'), '3', 1),
  );
  const population =
    iterations === undefined
      ? undefined
      : await askNumber(title, l10n.t('Maximum graphs per population'), '12', 1);
  return iterations === undefined || population === undefined
    ? undefined
    : { iterations, population };
}

/** @param parent folder that will contain the new one, by default the workspace */
async function askFolder(title: string, parent: string | undefined): Promise<string | undefined> {
  const base = parent ?? workspace.workspaceFolders?.[0]?.uri.fsPath ?? homedir();
  const value = await freeFolder(base);
  const typed = await askText({
    title,
    value,
    valueSelection: [value.length - basename(value).length, value.length],
    prompt: l10n.t('New folder for the log, the best network and the library.'),
    validateInput: (text) =>
      text.trim() === '' ? l10n.t('Write the path of the new folder.') : undefined,
  });
  return typed === undefined ? undefined : resolve(base, typed.trim());
}

/** `synthesis`, or the first `synthesis-2`, `synthesis-3`, … that does not exist. */
async function freeFolder(base: string): Promise<string> {
  for (let number = 1; ; number++) {
    const path = join(base, number === 1 ? 'synthesis' : `synthesis-${number}`);
    if (!(await fileExists(path))) {
      return path;
    }
  }
}
