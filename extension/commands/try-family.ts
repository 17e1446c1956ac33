import { basename, dirname } from 'node:path';
import { commands, l10n } from 'vscode';
import { tryFamily as operation } from '../core/operations/try-family';
import { commandIds } from '../services/command-ids';
import { offer } from '../services/offer';
import type { Services } from '../services/services';
import { chooseTarget } from './target';

/** Opens a folder of an unknown model type as a known family, if its tensors and a text agree. */
export async function tryFamily(services: Services, argument: unknown): Promise<void> {
  const target = await chooseTarget(argument, services, 'tryFamily');
  if (target === undefined) {
    return;
  }
  const { model } = target;
  const request = services.settings.request(operation, { model });
  const result = await services.jobs.run({
    operation: 'try-family',
    name: basename(model) === 'config.json' ? basename(dirname(model)) : basename(model),
    request,
  });
  const { family, perplexity, shuffled } = result;
  await offer(
    l10n.t(
      'Guessed as {0}: perplexity {1} on a short text, {2} with shuffled tokens.',
      family,
      perplexity.toFixed(1),
      shuffled.toFixed(1),
    ),
    [[l10n.t('Inspect Model'), () => commands.executeCommand(commandIds.inspectModel, model)]],
  );
}
