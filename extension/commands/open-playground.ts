import { l10n, workspace } from 'vscode';
import { basename } from 'node:path';
import { readManifest } from '../core/pipelines/manifest-file';
import type { Services } from '../services/services';
import { PlaygroundSession } from '../services/sessions/playground-session';
import { assertAllowed, explainBlocked } from '../services/trust';
import { findSource } from './source-model';
import { chooseTarget, pickModel } from './target';

/** Answers given in advance to the questions of the command. */
export interface PlaygroundOptions {
  /** Path of the original. */
  readonly against?: string;
}

/** Lets a model and its original continue the same prompts; in a playground, selects another model to compare. */
export async function openPlayground(
  services: Services,
  argument: unknown,
  { against }: PlaygroundOptions = {},
): Promise<void> {
  if (argument instanceof PlaygroundSession) {
    return chooseOther(services, argument);
  }
  const target = await chooseTarget(argument, services, 'openPlayground');
  if (target === undefined) {
    return;
  }
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  await services.models.require(target.model, 'generate');
  const model = await services.models.summary(target.model);
  const manifest = await readManifest(model.path);
  const original = against ?? (manifest && (await findSource(services, model, manifest)));
  services.playgrounds.show([...(original === undefined ? [] : [original]), model.path]);
}

async function chooseOther(services: Services, session: PlaygroundSession): Promise<void> {
  const [first = ''] = session.models;
  const title = l10n.t('Compare {0} with', basename(first));
  const other = await pickModel(services, title, session.models);
  if (other !== undefined) {
    await services.models.require(other.fsPath, 'generate');
    session.compareWith(other.fsPath);
  }
}
