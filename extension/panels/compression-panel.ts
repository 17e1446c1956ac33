import { commands, Disposable, l10n, Uri, ViewColumn } from 'vscode';
import type { WebviewPanel } from 'vscode';
import { findingsOf } from '../core/tensornet/sensitivity/findings';
import type { CompressionState, FromCompression, ToCompression } from '../protocol/compression';
import { commandIds } from '../services/command-ids';
import type { CompressionSession } from '../services/compression-session';
import { idOf, newTab } from './panel';
import type { Asked } from './panel';
import { StatePanel } from './state-panel';

/** What compression costs each linear layer of a model. */
export class CompressionPanel extends StatePanel<
  CompressionSession,
  CompressionState,
  FromCompression,
  ToCompression
> {
  public static readonly kind = {
    name: 'compression',
    viewType: 'espalier.compression',
    patchMilliseconds: 250,
  } as const;

  /** Tensors of layers that were measured further and not told of. */
  readonly #measured = new Set<string>();

  public constructor(panel: WebviewPanel, extension: Uri, session: CompressionSession) {
    super(panel, extension, CompressionPanel.kind, titleOf(session), session);
  }

  /** A new tab. */
  public static create(extension: Uri, session: CompressionSession): CompressionPanel {
    const panel = newTab(CompressionPanel.kind, titleOf(session));
    return new CompressionPanel(panel, extension, session);
  }

  protected override listen(session: CompressionSession): Disposable {
    return Disposable.from(
      super.listen(session),
      session.measured.listen((tensor) => {
        this.#measured.add(tensor);
        this.triggerSend();
      }),
    );
  }

  protected override sendState(): void {
    this.#measured.clear();
    super.sendState();
  }

  protected override sendChanges(): ReadonlySet<keyof CompressionState> {
    const changed = super.sendChanges();
    const { session } = this;
    if (this.#measured.size > 0 && session.table !== undefined && !changed.has('table')) {
      const layers = session.layers(this.#measured);
      this.post({ type: 'layers', layers, findings: findingsOf(session.table) });
    }
    this.#measured.clear();
    return changed;
  }

  protected receive(message: Asked<FromCompression>): void {
    const { session } = this;
    const run = (command: string, ...args: readonly unknown[]): void => {
      void commands.executeCommand(command, ...args);
    };
    switch (message.type) {
      case 'profile':
        run(commandIds.profileSensitivity, session);
        break;
      case 'resume':
        run(commandIds.resumeJob, idOf(session.job));
        break;
      case 'cancel':
        run(commandIds.cancelJob, idOf(session.job));
        break;
      case 'plan':
        run(commandIds.planCompression, session, message.choice);
        break;
      case 'forgetPlan':
        session.setPlan(undefined);
        break;
      case 'savePlan':
        run(commandIds.saveCompressionPlan, session);
        break;
      case 'compress':
        run(commandIds.compressModel, session);
        break;
      case 'openHeatmap':
        run(commandIds.openHeatmap, Uri.file(session.model.path));
        break;
      case 'openText':
        run('vscode.openWith', Uri.file(session.file), 'default', ViewColumn.Beside);
        break;
      case 'showLog':
        run(commandIds.showLog);
        break;
    }
  }
}

const titleOf = ({ model }: CompressionSession): string => l10n.t('Compression: {0}', model.name);
