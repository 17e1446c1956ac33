import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { commands, Uri, workspace } from 'vscode';
import { replaceFile } from '../core/jobs/write-document';
import { commandIds } from '../services/command-ids';
import { tellDone } from '../services/activation/steps-done';
import { fileExists, defaultProfilePath } from '../services/documents/documents';
import type { Services } from '../services/services';
import { assertAllowed, explainBlocked } from '../services/trust';

const name = 'espalier-sample';

/**
 * Copies the bundled model into the workspace, or into the extension's storage if no folder is open, and profiles it.
 * An existing copy is opened with its profile.
 */
export async function trySample(services: Services): Promise<void> {
  const folder = workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file');
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const { samples, ownFolder } = services.places;
  const model = join((folder?.uri ?? ownFolder).fsPath, name);
  if (!(await fileExists(model))) {
    await replaceFile(model, async (partial) =>
      cp(join(samples.fsPath, name), partial, { recursive: true }),
    );
    await services.folders.refresh();
  }
  tellDone('trySample');
  const known = await fileExists(defaultProfilePath(model));
  await commands.executeCommand(
    known ? commandIds.openHeatmap : commandIds.profileLayers,
    Uri.file(model),
    // It is small: nobody is asked how thoroughly.
    { effort: 'standard' },
  );
}
