import { l10n } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { EmbeddingOrHeadPlace } from '../core/models/matrix-encoding';
import { formatCompression } from '../core/tensornet/compression-choice';
import type { CompressionRequest } from '../core/tensornet/compression-choice';
import { sensitivity } from '../core/operations/sensitivity';
import { runFor } from '../services/jobs/model-requests';
import { fileExists } from '../services/documents/documents';
import type { Services } from '../services/services';
import { assertAllowed } from '../services/trust';
import { chooseEmbeddingAndHead } from './questions/choose-embedding-and-head';
import { confirmAnew } from './questions/confirm-replace';
import { methodItems } from './questions/method-items';
import { chooseCompression } from './open-compression';
import { choose, chooseMany } from './questions/ask';
import { offerOtherWays } from './other-ways';

/** Answers given in advance to the questions of the command. */
export interface SensitivityOptions {
  readonly compressions?: readonly CompressionRequest[];
  readonly blocks?: readonly number[];
  /** Matrices outside the blocks that are measured as well. */
  readonly embeddingAndHead?: readonly EmbeddingOrHeadPlace[];
  /** Replace an existing table without asking. */
  readonly overwrite?: boolean;
}

/** Measures the distance of compressing each linear layer alone; the panel updates while it runs. */
export async function profileSensitivity(
  services: Services,
  argument: unknown,
  {
    compressions: given,
    embeddingAndHead: asked,
    blocks = [],
    overwrite = false,
  }: SensitivityOptions = {},
): Promise<void> {
  const session = await chooseCompression(services, argument, 'profileSensitivity', 1);
  if (session === undefined) {
    return;
  }
  const { model } = session;
  const title = l10n.t('Profile compression sensitivity of {0}', model.name);
  if (given === undefined && (await offerOtherWays(services, model.path, title, 'compress'))) {
    return;
  }
  assertAllowed(session.blocked);
  services.compressions.show(session);
  const { capabilities } = await services.models.inspect(model.path);
  const trials =
    given === undefined
      ? await chooseTrials(title, {
          canPruneWidth: capabilities.pruneWidth.able,
          canType: await services.models.canTypeLayers(model.path),
        })
      : { compressions: given, widths: [] };
  if (trials === undefined) {
    return;
  }
  const { compressions, widths } = trials;
  const embeddingAndHead =
    given === undefined && asked === undefined
      ? await chooseEmbeddingAndHead(title, model, compressions, { unties: false })
      : asked;
  if (given === undefined && embeddingAndHead === undefined) {
    return;
  }
  const replaces = await fileExists(session.file);
  if (replaces && !overwrite && !(await confirmAnew(session.file, l10n.t('Measure Again')))) {
    return;
  }
  const request = services.settings.request(sensitivity, {
    ...{ model: session.model.path, out: session.file },
    methods: compressions.map(formatCompression),
    ...(widths.length === 0 ? {} : { widths }),
    ...(blocks.length === 0 ? {} : { blocks: blocks.map(String) }),
    embeddings: embeddingAndHead?.includes('embedding') === true,
    head: embeddingAndHead?.includes('head') === true,
  });
  await runFor(services.jobs, session, 'sensitivity', request);
}

/** One common setting per method. */
const firstLook: readonly CompressionRequest[] = [
  { method: 'int8', setting: 32 },
  { method: 'int4', setting: 32 },
  { method: 'lowrank', ratio: 0.4 },
  { method: 'mpo', ratio: 0.3 },
];

/** Default shares of the width to keep. */
const defaultWidths: readonly string[] = ['75%', '50%', '25%'];
/** Default shares for models that become GGUF files. */
const typedWidths: readonly string[] = ['75%', '50%'];

/** Compressions and widths to measure on every layer and sublayer. */
interface Trials {
  readonly compressions: readonly CompressionRequest[];
  readonly widths: readonly string[];
}

async function chooseTrials(
  title: string,
  { canPruneWidth, canType }: { readonly canPruneWidth: boolean; readonly canType: boolean },
): Promise<Trials | undefined> {
  const first: QuickPickItem = {
    label: l10n.t('A first look'),
    description: l10n.t('one setting of each method'),
    detail: l10n.t('Low rank to 40 %, tensor network to 30 %, int8 and int4: 4 runs per layer.'),
  };
  const full: QuickPickItem = {
    label: l10n.t('All settings'),
    description: l10n.t('for plans under a budget'),
    detail: canPruneWidth
      ? l10n.t(
          'Every method at its default settings, and each sublayer at 75, 50 and 25 % of its width: about 14 runs per layer.',
        )
      : l10n.t(
          'Every method at its default settings, from mild to strong: about 13 runs per layer.',
        ),
  };
  const own: QuickPickItem = {
    label: l10n.t('Choose methods…'),
    detail: l10n.t('Some of the methods, each at its default settings.'),
  };
  const gguf: QuickPickItem = {
    label: l10n.t('Types of a GGUF file'),
    description: l10n.t('for a type per tensor under a budget'),
    detail: canPruneWidth
      ? l10n.t(
          'From Q8_0 to Q2_K, rounded by importance, and each sublayer at 75 and 50 % of its width: about 9 runs per layer.',
        )
      : l10n.t('From Q8_0 to Q2_K, rounded by importance: about 8 runs per layer.'),
  };
  const chosen = await choose([first, full, ...(canType ? [gguf] : []), own], {
    title,
    placeHolder: l10n.t('Which methods should be measured on every linear layer?'),
  });
  if (chosen === first) {
    return { compressions: firstLook, widths: [] };
  }
  if (chosen === gguf) {
    return { compressions: [{ method: 'gguf' }], widths: canPruneWidth ? typedWidths : [] };
  }
  const items = methodItems();
  if (chosen === full) {
    const compressions = items.map(({ method }) => ({ method }));
    return { compressions, widths: canPruneWidth ? defaultWidths : [] };
  }
  const methods =
    chosen === undefined
      ? undefined
      : await chooseMany(items, { title, placeHolder: l10n.t('Which methods?') });
  return methods === undefined || methods.length === 0
    ? undefined
    : { compressions: methods.map(({ method }) => ({ method })), widths: [] };
}
