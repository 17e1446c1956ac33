import { basename, dirname } from 'node:path';
import { commands, env, l10n, Uri, ViewColumn } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromSymbolic, ToSymbolic } from '../protocol/symbolic';
import { commandIds } from '../services/command-ids';
import type { SynthesisSession } from '../services/synthesis-session';
import { MessagePanel } from './message-panel';
import { idOf, newTab } from './panel';
import type { Asked } from './panel';

/** One webview that shows an evolution of symbolic modules, in a tab of its own or as a custom editor. */
export class SymbolicPanel extends MessagePanel<SynthesisSession, FromSymbolic, ToSymbolic> {
  public static readonly kind = { name: 'symbolic', viewType: 'espalier.symbolic' } as const;

  public constructor(panel: WebviewPanel, extension: Uri, session: SynthesisSession) {
    super(panel, extension, SymbolicPanel.kind, titleOf(session), session);
  }

  /** A new tab. */
  public static create(extension: Uri, session: SynthesisSession): SymbolicPanel {
    return new SymbolicPanel(newTab(SymbolicPanel.kind, titleOf(session)), extension, session);
  }

  protected async receive(message: Asked<FromSymbolic>): Promise<void> {
    const { session } = this;
    switch (message.type) {
      case 'reload':
        await session.open();
        break;
      case 'resume':
        await commands.executeCommand(commandIds.resumeJob, idOf(session.job));
        break;
      case 'cancel':
        await commands.executeCommand(commandIds.cancelJob, idOf(session.job));
        break;
      case 'copy':
        await env.clipboard.writeText(message.text);
        break;
      case 'openText':
        await commands.executeCommand(
          'vscode.openWith',
          Uri.file(session.file),
          'default',
          ViewColumn.Beside,
        );
        break;
    }
  }
}

const titleOf = ({ file }: SynthesisSession): string =>
  l10n.t('Evolution: {0}', basename(dirname(file)));
