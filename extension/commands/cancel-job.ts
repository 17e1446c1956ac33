import { l10n, window } from 'vscode';
import type { Services } from '../services/services';

/** Stops the running job within a second. */
export function cancelJob(services: Services): void {
  if (services.jobs.current === undefined) {
    void window.showInformationMessage(l10n.t('No Espalier job is running.'));
    return;
  }
  services.jobs.cancel();
}
