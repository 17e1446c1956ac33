import { commands, EventEmitter, l10n, Uri, workspace } from 'vscode';
import type { Disposable, TextDocumentContentProvider } from 'vscode';
import { modelReport } from './model-report';
import type { OpenModels } from '../documents/open-models';
import { describeError } from '../report-error';
import type { ReportStore } from './report-store';

const structureAuthority = 'structure';
const textAuthority = 'text';

/** Read-only Markdown documents about models, shown in the editor's own preview. */
export class Reports implements TextDocumentContentProvider, Disposable {
  public static readonly scheme = 'espalier-report';

  readonly #models: OpenModels;
  readonly #changed = new EventEmitter<Uri>();
  readonly #store: ReportStore;
  readonly #texts = new Map<string, string>();
  readonly #registration: Disposable;

  public readonly onDidChange = this.#changed.event;

  public constructor(models: OpenModels, store: ReportStore) {
    this.#models = models;
    this.#store = store;
    this.#registration = workspace.registerTextDocumentContentProvider(Reports.scheme, this);
  }

  public async provideTextDocumentContent(uri: Uri): Promise<string> {
    if (uri.authority === structureAuthority) {
      try {
        return modelReport(await this.#models.summary(uri.query));
      } catch (error) {
        return describeError(error);
      }
    }
    const key = uri.toString();
    const text = this.#texts.get(key) ?? (await this.#store.load(key));
    return text ?? l10n.t('This report is no longer available.');
  }

  /** Shows what a model consists of. The document's URI is its path, so that it survives a reload. */
  public async showStructure(name: string, model: string): Promise<Uri> {
    const uri = Uri.from({
      scheme: Reports.scheme,
      authority: structureAuthority,
      path: `/${l10n.t('{0}, structure', name)}.md`,
      query: model,
    });
    return this.#show(uri);
  }

  /** Shows a text that is made now, and kept for later windows where the disk allows. */
  public async showText(name: string, key: string, text: string): Promise<Uri> {
    const uri = Uri.from({
      scheme: Reports.scheme,
      authority: textAuthority,
      path: `/${name}.md`,
      query: key,
    });
    const shown = uri.toString();
    this.#texts.set(shown, text);
    await this.#store.save(shown, text).catch(() => undefined);
    return this.#show(uri);
  }

  public dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }

  async #show(uri: Uri): Promise<Uri> {
    this.#changed.fire(uri);
    await workspace.openTextDocument(uri);
    await commands.executeCommand('markdown.showPreview', uri);
    return uri;
  }
}
