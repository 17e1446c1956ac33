import { commands, l10n, Uri, ViewColumn } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromHeatmap, HeatmapState } from '../protocol/heatmap';
import { commandIds } from '../services/command-ids';
import type { ModelSession } from '../services/model-session';
import { idOf, newTab } from './panel';
import type { Asked } from './panel';
import { StatePanel } from './state-panel';

/** The layer heatmap of a model. */
export class HeatmapPanel extends StatePanel<ModelSession, HeatmapState, FromHeatmap> {
  public static readonly kind = {
    name: 'heatmap',
    viewType: 'espalier.heatmap',
    patchMilliseconds: 250,
  } as const;

  public constructor(panel: WebviewPanel, extension: Uri, session: ModelSession) {
    super(panel, extension, HeatmapPanel.kind, titleOf(session), session);
  }

  /** A new tab beside the file that is being looked at. */
  public static create(extension: Uri, session: ModelSession): HeatmapPanel {
    const panel = newTab(HeatmapPanel.kind, titleOf(session), ViewColumn.Beside);
    return new HeatmapPanel(panel, extension, session);
  }

  protected receive(message: Asked<FromHeatmap>): void {
    const { session } = this;
    const model = Uri.file(session.model.path);
    const run = (command: string, ...args: readonly unknown[]): void => {
      void commands.executeCommand(command, ...args);
    };
    switch (message.type) {
      case 'selectRounds':
        session.chooseRounds(message.rounds);
        break;
      case 'setMark':
        session.chooseMark(message.sublayer, message.mark);
        break;
      case 'profile':
        run(commandIds.profileLayers, session);
        break;
      case 'prune':
        run(commandIds.pruneLayers, session);
        break;
      case 'evaluate':
        run(commandIds.evaluateModel, session, { selection: true });
        break;
      case 'cancel':
        run(commandIds.cancelJob, idOf(session.job));
        break;
      case 'resume':
        run(commandIds.resumeJob, idOf(session.job));
        break;
      case 'savePlan':
        run(commandIds.savePlan, session);
        break;
      case 'openCompression':
        run(commandIds.openCompression, model);
        break;
      case 'openConfig':
        run('vscode.open', Uri.joinPath(model, 'config.json'), {
          viewColumn: ViewColumn.One,
        });
        break;
      case 'showLog':
        run(commandIds.showLog);
        break;
    }
  }
}

const titleOf = ({ model }: ModelSession): string => l10n.t('Layer Heatmap: {0}', model.name);
