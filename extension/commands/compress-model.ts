import { dirname, join } from 'node:path';
import { l10n, window } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { formatBytes } from '../core/format';
import type { ModelSummary } from '../core/models/model-summary';
import { planFor } from '../core/plans/plan';
import type { Plan } from '../core/plans/plan';
import { withAbsolutePaths } from '../core/pipelines/patching/planned-patches';
import type { ApplyResult } from '../core/operations/apply-plan';
import type { LinearRole, EmbeddingOrHeadPlace } from '../core/models/matrix-encoding';
import type {
  CompressionRequest,
  EncodingName,
  QuantizerName,
} from '../core/tensornet/compression-choice';
import { CompressionSession } from '../services/sessions/compression-session';
import { isPlan, defaultPlanPath } from '../services/documents/documents';
import { compress } from '../core/operations/compress';
import { runFor } from '../services/jobs/model-requests';
import { budgetPlan, idleSettings } from '../services/documents/plans';
import type { Services } from '../services/services';
import { assertAllowed } from '../services/trust';
import { chooseEmbeddingAndHead } from './questions/choose-embedding-and-head';
import { chooseOutput, withImportance } from './questions/choose-output';
import type { OutputOptions } from './questions/choose-output';
import { methodItems } from './questions/method-items';
import { chooseCompression } from './open-compression';
import { offerOtherWays } from './other-ways';
import { chooseTarget, toUri } from './target';
import { counts } from '../services/counts';
import { choose } from './questions/ask';
import { followedBy } from './questions/steps';

/** Answers given in advance to the questions of the command. */
export interface CompressOptions extends OutputOptions {
  readonly compression?: CompressionRequest;
  readonly plan?: Plan;
  /** Roles of layers that stay as they are. */
  readonly skip?: readonly LinearRole[];
  /** Matrices outside the blocks that are compressed as well. */
  readonly embeddingAndHead?: readonly EmbeddingOrHeadPlace[];
}

/** Writes a new model with compressed linear layers, either by a plan or all with one method. */
export async function compressModel(
  services: Services,
  argument: unknown,
  options: CompressOptions = {},
): Promise<ApplyResult | undefined> {
  const uri = toUri(argument);
  const planPath = uri?.scheme === 'file' && isPlan(uri.path) ? uri.fsPath : undefined;
  const session = await findSession(services, argument, planPath);
  if (session === undefined) {
    return undefined;
  }
  const isAsked =
    planPath === undefined && options.plan === undefined && options.compression === undefined;
  const { path, name } = session.model;
  const title = l10n.t('Compress {0}', name);
  if (isAsked && (await offerOtherWays(services, path, title, 'compress'))) {
    return undefined;
  }
  assertAllowed(session.blocked);
  const plan =
    options.plan ??
    (planPath === undefined
      ? await followedBy(1, async () => askForPlan(services, session, argument, options))
      : await services.documents.read('plan', planPath));
  if (plan === undefined) {
    return undefined;
  }
  const { model } = session;
  const output = await chooseOutput(services, model, plan, options, {
    formatTitle: l10n.t('Compress {0}: format', model.name),
    folderTitle: l10n.t('Compress {0}: new folder', model.name),
    suffix: '-compressed',
    // A plan of the panel or of a file was made to save bytes.
    hasLimits:
      options.compression === undefined &&
      (planPath !== undefined || argument instanceof CompressionSession),
  });
  if (output === undefined) {
    return undefined;
  }
  const given = {
    model: model.path,
    plan: withAbsolutePaths(plan, planPath ?? defaultPlanPath(model.path)),
    ...(await withImportance(services, model, output)),
  };
  const request = services.settings.request(compress, given, idleSettings(plan));
  return runFor(services.jobs, session, 'compress', request);
}

async function findSession(
  services: Services,
  argument: unknown,
  planPath: string | undefined,
): Promise<CompressionSession | undefined> {
  if (planPath === undefined) {
    return chooseCompression(services, argument, 'compressModel', 2);
  }
  const target = await chooseTarget(argument, services, 'compressModel');
  return target === undefined ? undefined : services.compressionSessions.open(target.model);
}

/** The panel's plan where the panel asks, or one by a single method. */
async function askForPlan(
  services: Services,
  session: CompressionSession,
  argument: unknown,
  options: CompressOptions,
): Promise<Plan | undefined> {
  const { model } = session;
  const made =
    argument instanceof CompressionSession
      ? budgetPlan(session, join(dirname(model.path), 'plan'))
      : undefined;
  if (made !== undefined && options.compression === undefined) {
    return { ...made, model: { ...made.model, path: model.path } };
  }
  const compression = options.compression ?? (await chooseMethod(services, session));
  if (compression === undefined) {
    return undefined;
  }
  const isAsked = options.compression === undefined && options.skip === undefined;
  const predictSize = sizePredictor(services, model);
  const skip = isAsked
    ? await chooseRoles(compression, model.name, predictSize)
    : (options.skip ?? []);
  if (skip === undefined) {
    return undefined;
  }
  const title = l10n.t('Compress {0}', model.name);
  const embeddingAndHead = isAsked
    ? await chooseEmbeddingAndHead(title, model, [compression], {
        unties: true,
        predictSize: async (places) => formatBytes(await predictSize(compression, skip, places)),
      })
    : (options.embeddingAndHead ?? []);
  if (embeddingAndHead === undefined) {
    return undefined;
  }
  const { choices, unfit } = await services.models.chooseLayers({
    model: model.path,
    compression,
    skip,
    embeddingAndHead,
  });
  if (unfit > 0) {
    void window.showInformationMessage(
      l10n.t(
        'Left dense, because compression would not make them smaller: {0}.',
        counts.layers(unfit),
      ),
    );
  }
  return planFor(model, { compress: choices });
}

async function chooseMethod(
  services: Services,
  session: CompressionSession,
): Promise<CompressionRequest | undefined> {
  const title = l10n.t('Compress {0}', session.model.name);
  const recipe = {
    label: l10n.t('Tensor network + int4'),
    description: l10n.t('the recipe of the CompactifAI paper'),
    detail: l10n.t('Layers as tensor networks; int4 for the layers that remain dense.'),
  };
  const budget = {
    label: `$(graph) ${l10n.t('Under a budget…')}`,
    description: l10n.t('the best method and setting for each layer'),
    detail: l10n.t('Opens the compression panel: measure the sensitivity, choose a budget, plan.'),
  };
  const predictSize = sizePredictor(services, session.model);
  const items = await Promise.all(
    methodItems().map(async (item) => withSize(item, await methodSize(item.method, predictSize))),
  );
  const recipeItem = withSize(recipe, await methodSize('mpo', predictSize, 'int4'));
  const chosen = await choose<QuickPickItem>([...items, recipeItem, budget], {
    title,
    placeHolder: l10n.t('How are the linear layers compressed?'),
  });
  if (chosen === budget) {
    services.compressions.show(session);
    return undefined;
  }
  const method = chosen === recipeItem ? 'mpo' : items.find((item) => item === chosen)?.method;
  switch (method) {
    case undefined:
      return undefined;
    case 'int8':
      return { method };
    case 'int4':
      return chooseBlockSize(title, predictSize);
    case 'lowrank':
    case 'mpo':
      return chooseRatio(title, method, chosen === recipeItem ? 'int4' : undefined, predictSize);
  }
}

/** Sizes of a model with linear layers compressed. */
type SizeOf = (
  compression: CompressionRequest,
  skip?: readonly LinearRole[],
  embeddingAndHead?: readonly EmbeddingOrHeadPlace[],
) => Promise<number>;

const sizePredictor =
  ({ models }: Services, { path: model }: ModelSummary): SizeOf =>
  async (compression, skip = [], embeddingAndHead = []) =>
    (await models.chooseLayers({ model, compression, skip, embeddingAndHead })).bytes;

/** Size with the method's default, or the range of the shares that can be chosen. */
async function methodSize(
  method: EncodingName,
  predictSize: SizeOf,
  then?: QuantizerName,
): Promise<string> {
  if (method === 'int8' || method === 'int4') {
    return formatBytes(await predictSize({ method }));
  }
  const sizes = await Promise.all(
    [Math.min(...percents), Math.max(...percents)].map(async (percent) =>
      predictSize(shareRequest(method, percent, then)),
    ),
  );
  return sizes.map(formatBytes).join(' – ');
}

/** The row of a choice with the predicted size in front of its description. */
const withSize = <Item extends QuickPickItem>(item: Item, size: string): Item => ({
  ...item,
  description: [size, item.description].filter((one) => one !== undefined).join(' · '),
});

async function chooseBlockSize(
  title: string,
  predictSize: SizeOf,
): Promise<CompressionRequest | undefined> {
  const rows = [
    { label: '32', detail: l10n.t('One scale per 32 weights: 5 bits per weight.'), setting: 32 },
    {
      label: '128',
      detail: l10n.t('One scale per 128 weights: 4.25 bits per weight.'),
      setting: 128,
    },
  ];
  const items = await Promise.all(
    rows.map(async (row) =>
      withSize<QuickPickItem & typeof row>(
        row,
        formatBytes(await predictSize({ method: 'int4', setting: row.setting })),
      ),
    ),
  );
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('How many weights share a scale?'),
  });
  return chosen === undefined ? undefined : { method: 'int4', setting: chosen.setting };
}

async function chooseRatio(
  title: string,
  method: 'lowrank' | 'mpo',
  then: QuantizerName | undefined,
  predictSize: SizeOf,
): Promise<CompressionRequest | undefined> {
  const items = await Promise.all(
    percents.map(async (percent) => {
      const request = shareRequest(method, percent, then);
      const label = l10n.t('{0} %', percent);
      const description = l10n.t('of the parameters of each layer');
      return withSize({ label, description, request }, formatBytes(await predictSize(request)));
    }),
  );
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('Target size?'),
  });
  return chosen?.request;
}

/** Choices for the share of each layer's parameters that remains. */
const percents = [60, 40, 30, 20, 10] as const;

const shareRequest = (
  method: 'lowrank' | 'mpo',
  percent: number,
  then: QuantizerName | undefined,
): CompressionRequest => ({
  ...{ method, ratio: percent / 100 },
  ...(then === undefined ? {} : { then }),
});

/** The paper leaves down projections dense; quantizing them hardly changes the outputs. */
async function chooseRoles(
  compression: CompressionRequest,
  model: string,
  predictSize: SizeOf,
): Promise<readonly LinearRole[] | undefined> {
  if (compression.method === 'int8' || compression.method === 'int4') {
    return [];
  }
  const rows: (QuickPickItem & { skip: readonly LinearRole[] })[] = [
    {
      label: l10n.t('All but down projections'),
      detail: l10n.t('As in the paper: the down projection stays dense.'),
      skip: ['down'],
    },
    { label: l10n.t('All linear layers'), skip: [] },
  ];
  const items = await Promise.all(
    rows.map(async (row) => withSize(row, formatBytes(await predictSize(compression, row.skip)))),
  );
  const chosen = await choose(items, {
    title: l10n.t('Compress {0}', model),
    placeHolder: l10n.t('Which layers?'),
  });
  return chosen?.skip;
}
