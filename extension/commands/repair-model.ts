import { basename } from 'node:path';
import { l10n, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { readManifest } from '../core/pipelines/manifest-file';
import type { RepairResult } from '../core/pipelines/compression/repair-model';
import type { ModelSummary } from '../core/models/model-summary';
import { repair } from '../core/operations/repair';
import { repairEfforts } from '../core/tensornet/repair/repair-settings';
import type { TrainedLayers } from '../core/tensornet/repair/trained-forms';
import type { RepairEffort } from '../core/tensornet/repair/repair-settings';
import type { RequestOf } from '../services/jobs/operations';
import { modelStem } from '../services/documents/model-file';
import type { Services } from '../services/services';
import { assertAllowed, explainBlocked } from '../services/trust';
import { offerOtherWays } from './other-ways';
import { chooseFolder } from './questions/choose-output';
import { askLearningText, learningText } from './questions/learning-text';
import { chooseSource } from './source-model';
import { chooseTarget } from './target';
import { choose } from './questions/ask';
import { followedBy } from './questions/steps';

/** Answers given in advance to the questions of the command. */
export interface RepairOptions {
  /** Path of the model that it was made from. */
  readonly teacher?: string;
  /** Path of a text, or `bundled`. */
  readonly text?: string;
  readonly effort?: RepairEffort;
  /** Layers to train, or the default ones of the model. */
  readonly train?: TrainedLayers | 'default';
  /** Path of the new folder. */
  readonly out?: string;
  /** Replace an existing folder without asking. */
  readonly overwrite?: boolean;
}

/** Trains a compressed or pruned model to match its original (distillation), and writes it if that helped. */
export async function repairModel(
  services: Services,
  argument: unknown,
  given: RepairOptions = {},
): Promise<RepairResult | undefined> {
  const target = await chooseTarget(argument, services, 'repairModel', 3);
  if (target === undefined) {
    return undefined;
  }
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const model = await services.models.summary(target.model);
  const title = l10n.t('Repair {0}', model.name);
  const isAsked = given.teacher === undefined;
  if (isAsked && (await offerOtherWays(services, model.path, title, 'repair'))) {
    return undefined;
  }
  await services.models.require(target.model, 'repair');
  const request = await askRequest(services, model, given);
  return request === undefined
    ? undefined
    : services.jobs.run({ operation: 'repair', name: model.name, request });
}

async function askRequest(
  services: Services,
  model: ModelSummary,
  given: RepairOptions,
): Promise<RequestOf<'repair'> | undefined> {
  const { name, path } = model;
  const manifest = await readManifest(path);
  const teacher =
    given.teacher ?? (await followedBy(3, async () => chooseSource(services, model, manifest)));
  if (teacher === undefined) {
    return undefined;
  }
  const title = l10n.t('Repair {0} with the teacher {1}', name, basename(teacher));
  const text =
    given.text ?? (await followedBy(2, async () => askLearningText(services, title, model)));
  const train = text && (await chooseTrained(model, title, given));
  const effort = train && (given.effort ?? (await followedBy(1, async () => chooseEffort(title))));
  const folder =
    effort &&
    (await chooseFolder(
      path,
      `${modelStem(path)}-repaired`,
      l10n.t('Repair {0}: new folder', name),
      given,
    ));
  if (text === undefined || !train || !effort || !folder) {
    return undefined;
  }
  const { given: learning, unset } = learningText(services, text);
  return services.settings.request(
    repair,
    {
      ...{ model: path, teacher, effort, ...learning, ...folder },
      ...(train === 'default' ? {} : { train }),
    },
    unset,
  );
}

/** Asks which layers are trained if a folder has MoE layers; only routers of a GGUF file can be. */
async function chooseTrained(
  { path, sublayers }: ModelSummary,
  title: string,
  given: RepairOptions,
): Promise<TrainedLayers | 'default' | undefined> {
  const isAsked = !path.endsWith('.gguf') && sublayers.some(({ kind }) => kind === 'expert');
  if (given.train !== undefined || given.effort !== undefined || !isAsked) {
    return given.train ?? 'default';
  }
  const items: readonly (QuickPickItem & { readonly train: TrainedLayers | 'default' })[] = [
    {
      label: l10n.t('Routers'),
      detail: l10n.t(
        'After experts were removed: only the routers of MoE layers learn, in minutes.',
      ),
      train: 'routers',
    },
    {
      label: l10n.t('Linear layers'),
      detail: l10n.t('Compressed layers if there are any, otherwise all.'),
      train: 'default',
    },
  ];
  const chosen = await followedBy(2, async () =>
    choose(items, { title, placeHolder: l10n.t('Which layers should be trained?') }),
  );
  return chosen?.train;
}

async function chooseEffort(title: string): Promise<RepairEffort | undefined> {
  const item = (
    effort: RepairEffort,
    label: string,
    detail: string,
  ): QuickPickItem & { effort: RepairEffort } => ({
    label,
    description: l10n.t('up to {0} sequences of the text', repairEfforts[effort].sequences),
    detail,
    effort,
  });
  const items = [
    item(
      'standard',
      l10n.t('Standard'),
      l10n.t('Layer by layer if layers are compressed, then the full model if memory allows it.'),
    ),
    item(
      'quick',
      l10n.t('Quick'),
      l10n.t('A quick look: a quarter of the text, and compressed layers one by one only.'),
    ),
    item('thorough', l10n.t('Thorough'), l10n.t('Like Standard, on four times the text.')),
  ];
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('How much effort? You can cancel and resume later.'),
  });
  return chosen?.effort;
}
