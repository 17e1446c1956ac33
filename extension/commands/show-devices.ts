import { l10n } from 'vscode';
import type { Uri } from 'vscode';
import { escapeMarkdown, markdownTable } from '../services/reports/markdown-table';
import type { Services } from '../services/services';

/** Shows which devices models can run on here, each tried for real. */
export async function showDevices(services: Services): Promise<Uri> {
  const devices = await services.worker.request('devices', { costs: false, device: 'auto' });
  if ('costs' in devices) {
    throw new RangeError('no costs were asked for');
  }
  const table = markdownTable(
    [l10n.t('Device'), l10n.t('Works'), l10n.t('Details')],
    devices.map((device) => [
      device.preferred ? `**${device.name}**` : device.name,
      device.works ? '✓' : device.built ? l10n.t('no') : l10n.t('not in this build'),
      escapeMarkdown(device.detail),
    ]),
  );
  const device = services.settings.device();
  const preferred = devices.find((candidate) => candidate.preferred)?.name ?? 'cpu';
  const works = devices.some(({ name, works }) => name === device && works);
  return services.reports.showText(
    l10n.t('Devices'),
    'devices',
    [
      `# ${l10n.t('Devices')}`,
      device === 'auto' || works
        ? l10n.t(
            'Each device was tried with a small graph. The setting espalier.device is {0}: models run on {1}.',
            ...[device, works ? device : preferred],
          )
        : l10n.t(
            "Each device was tried with a small graph. The setting espalier.device is {0}, which doesn't work here: models run on the CPU.",
            device,
          ),
      table,
      '',
    ].join('\n\n'),
  );
}
