import { basename, dirname, extname, join } from 'node:path';
import { l10n } from 'vscode';
import type { ModelSummary } from '../core/models/model-summary';
import type { Manifest } from '../core/pipelines/manifest-file';
import { modelFolder } from '../services/documents/model-file';
import type { Services } from '../services/services';
import { pickModel } from './target';

/** The model named in a manifest, if it is known or next to it; otherwise a model that the user selects. */
export async function chooseSource(
  services: Services,
  model: ModelSummary,
  manifest: Manifest | undefined,
): Promise<string | undefined> {
  const found = manifest && (await findSource(services, model, manifest));
  if (found !== undefined) {
    return found;
  }
  const title =
    manifest === undefined
      ? l10n.t('Which model was {0} made from?', model.name)
      : l10n.t(
          '{0} was made from {1}, which was not found. Choose its location.',
          model.name,
          manifest.source.name,
        );
  return (await pickModel(services, title, [model.path]))?.fsPath;
}

/** The model named in a manifest, if it is known or next to it. */
export async function findSource(
  services: Services,
  model: ModelSummary,
  { source: { name, fingerprint } }: Manifest,
): Promise<string | undefined> {
  const known = (await services.folders.known()).map(({ fsPath }) => fsPath);
  const places = [join(dirname(modelFolder(model.path)), name), ...known].filter(
    (place) => basename(place, extname(place)) === basename(name, extname(name)),
  );
  for (const place of new Set(places)) {
    const found = await services.models.summary(place).catch(() => undefined);
    if (found?.fingerprint === fingerprint) {
      return found.path;
    }
  }
  return undefined;
}
