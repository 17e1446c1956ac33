import { dirname, resolve } from 'node:path';
import { l10n, QuickPickItemKind } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { PatchResult } from '../core/pipelines/patching/patch-model';
import { planFor } from '../core/plans/plan';
import { formatCount } from '../core/format';
import type { SublayerSummary } from '../core/models/model-summary';
import { patch } from '../core/operations/patch';
import { runFor } from '../services/jobs/model-requests';
import type { RequestOf } from '../services/jobs/operations';
import { defaultPlanPath } from '../services/documents/documents';
import type { ModelSession } from '../services/sessions/model-session';
import type { Services } from '../services/services';
import { assertAllowed } from '../services/trust';
import { chooseOutput } from './questions/choose-output';
import type { OutputOptions } from './questions/choose-output';
import { askLearningText, learningText } from './questions/learning-text';
import { clickedSublayer, openSession } from './open-heatmap';
import { chooseTarget } from './target';
import { choose } from './questions/ask';
import { followedBy } from './questions/steps';

/** Answers given in advance to the questions of the command. */
export interface PatchOptions extends Omit<OutputOptions, 'layout'> {
  readonly sublayer?: string;
  /** Path of a text, or `bundled`. */
  readonly text?: string;
  /** Write the patch though something simpler does as well. */
  readonly anyway?: boolean;
  /** Graphs to try. */
  readonly graphs?: number;
}

/**
 * Fits a small symbolic module for a removed sublayer, and writes the model with it if it beats the simple baselines.
 */
export async function patchLayer(
  services: Services,
  argument: unknown,
  given: PatchOptions = {},
): Promise<PatchResult | undefined> {
  const cell = clickedSublayer(argument);
  const target = await chooseTarget(
    cell === undefined ? argument : undefined,
    services,
    'patchLayer',
    4,
  );
  if (target === undefined) {
    return undefined;
  }
  await services.models.require(target.model, 'patch');
  const session = await openSession(services, target);
  assertAllowed(session.blocked);
  const options = { ...given, ...(cell === undefined ? {} : { sublayer: cell }) };
  const request = await askRequest(services, session, target.plan, options);
  return request === undefined ? undefined : runFor(services.jobs, session, 'patch', request);
}

async function askRequest(
  services: Services,
  session: ModelSession,
  plan: string | undefined,
  given: PatchOptions,
): Promise<RequestOf<'patch'> | undefined> {
  const { model } = session;
  const sublayer = given.sublayer ?? (await followedBy(3, async () => chooseSublayer(session)));
  if (sublayer === undefined) {
    return undefined;
  }
  const title = l10n.t('Patch {0} of {1}', sublayer, model.name);
  const text =
    given.text ?? (await followedBy(2, async () => askLearningText(services, title, model)));
  const anyway =
    text === undefined
      ? undefined
      : (given.anyway ?? (await followedBy(1, async () => chooseAnyway(title))));
  if (text === undefined || anyway === undefined) {
    return undefined;
  }
  const patched = planFor(model, { patch: [{ sublayer, program: '', file: '' }] });
  const output = await chooseOutput(services, model, patched, given, {
    formatTitle: l10n.t('{0}: format', title),
    folderTitle: l10n.t('{0}: new folder', title),
    suffix: '-patched',
  });
  if (output === undefined) {
    return undefined;
  }
  const { format, out, overwrite } = output;
  const { given: learning, unset } = learningText(services, text);
  return services.settings.request(
    patch,
    {
      ...{ model: model.path, sublayer, anyway, format, out, overwrite, ...learning },
      ...(given.graphs === undefined ? {} : { graphs: given.graphs }),
      plan: plan ?? defaultPlanPath(resolve(dirname(model.path), out)),
    },
    unset,
  );
}

/** Asks for one of the sublayers marked for removal, or any sublayer if none is marked. */
async function chooseSublayer(session: ModelSession): Promise<string | undefined> {
  const { model, selection, profile } = session;
  const distances = new Map(
    profile?.candidates.map(({ sublayer, distance }) => [sublayer, distance]),
  );
  const item = ({ id, parameters }: SublayerSummary): QuickPickItem => {
    const distance = distances.get(id);
    const size = l10n.t('{0} parameters', formatCount(parameters));
    return {
      label: id,
      description:
        typeof distance === 'number'
          ? `${size} · ${l10n.t('distance {0}', distance.toPrecision(3))}`
          : size,
    };
  };
  const patchable = model.sublayers.filter(({ kind }) => kind !== 'patch');
  const removed = patchable.filter(({ id }) => selection.removed.includes(id));
  const others = patchable.filter(({ id }) => !selection.removed.includes(id));
  const separator = (label: string): QuickPickItem => ({
    label,
    kind: QuickPickItemKind.Separator,
  });
  const items = [
    ...(removed.length === 0
      ? []
      : [
          separator(l10n.t('Marked for removal')),
          ...removed.map(item),
          separator(l10n.t('Others')),
        ]),
    ...others.map(item),
  ];
  const chosen = await choose(items, {
    title: l10n.t('Patch a removed layer of {0}', model.name),
    placeHolder: l10n.t('Replace which sublayer?'),
    matchOnDescription: true,
  });
  return chosen?.label;
}

async function chooseAnyway(title: string): Promise<boolean | undefined> {
  const items = [
    {
      label: l10n.t('Only if it beats everything simpler'),
      description: l10n.t('recommended'),
      detail: l10n.t(
        'Compared with nothing, a linear map, a low-rank adapter, a bottleneck MLP and a random graph, on text that was not used for fitting.',
      ),
      anyway: false,
    },
    {
      label: l10n.t('Always'),
      detail: l10n.t('To inspect the patched model yourself; the comparison is shown in any case.'),
      anyway: true,
    },
  ];
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('When is the patched model written?'),
  });
  return chosen?.anyway;
}
