import { env, l10n, Uri, window } from 'vscode';
import { dependencies } from '../../package.json';
import { installCuda as operation } from '../core/operations/install-cuda';
import { askPath } from './questions/ask';
import { offer } from '../services/offer';
import type { Services } from '../services/services';

const version = dependencies['onnxruntime-node'];
const downloadPage = `https://www.nuget.org/packages/Microsoft.ML.OnnxRuntime.Gpu.Linux/${version}`;

/**
 * Copies ONNX Runtime's CUDA provider from a package that the user has downloaded. Espalier downloads nothing: the page is
 * opened in the browser.
 */
export async function installCuda(services: Services): Promise<void> {
  const chooseFile = l10n.t('Choose File…');
  const openPage = l10n.t('Open Download Page');
  const chosen = await window.showInformationMessage(
    l10n.t('Install the CUDA provider of ONNX Runtime?'),
    {
      modal: true,
      detail: l10n.t(
        'Download the package Microsoft.ML.OnnxRuntime.Gpu.Linux {0} from nuget.org (a few hundred MB), then choose the file. Two libraries are copied from it next to ONNX Runtime and tried. CUDA 12 and cuDNN 9 must be installed. An update of the extension removes the libraries.',
        version,
      ),
    },
    chooseFile,
    openPage,
  );
  if (chosen === openPage) {
    await env.openExternal(Uri.parse(downloadPage));
    return;
  }
  if (chosen !== chooseFile) {
    return;
  }
  const file = await askPath({
    title: l10n.t('The package that you downloaded'),
    filters: { NuGet: ['nupkg'] },
  });
  if (file === undefined) {
    return;
  }
  const request = services.settings.request(operation, { file: file.fsPath });
  const { works, detail } = await services.jobs.run({
    operation: 'install-cuda',
    name: 'CUDA',
    request,
  });
  await offer(
    works
      ? l10n.t('CUDA works: {0}', detail)
      : l10n.t('The provider is installed, but CUDA does not work yet: {0}', detail),
    [],
    works ? 'information' : 'error',
  );
}
