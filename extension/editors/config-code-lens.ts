import { CodeLens, l10n, languages, Range } from 'vscode';
import type { CodeLensProvider, Disposable, LogOutputChannel, TextDocument } from 'vscode';
import { formatCount } from '../core/format';
import { commandIds } from '../services/command-ids';
import type { OpenModels } from '../services/documents/open-models';
import { counts } from '../services/counts';

/** Lens above a model's config.json with the model's summary and actions. */
export class ConfigCodeLens implements CodeLensProvider, Disposable {
  readonly #models: OpenModels;
  readonly #log: LogOutputChannel;
  readonly #registration: Disposable;

  public constructor(models: OpenModels, log: LogOutputChannel) {
    this.#models = models;
    this.#log = log;
    this.#registration = languages.registerCodeLensProvider(
      { scheme: 'file', pattern: '**/config.json' },
      this,
    );
  }

  public async provideCodeLenses(document: TextDocument): Promise<CodeLens[]> {
    // Most config.json files of this world are not of models.
    if (!/"model_type"\s*:/.test(document.getText())) {
      return [];
    }
    try {
      const model = await this.#models.summary(document.uri.fsPath);
      const top = new Range(0, 0, 0, 0);
      const structure = [
        `Espalier: ${counts.blocks(model.blocks)}`,
        counts.sublayers(model.sublayers.length),
        l10n.t('{0} parameters', formatCount(model.parameters)),
      ].join(' · ');
      const lens = (title: string, command: string): CodeLens =>
        new CodeLens(top, { title, command, arguments: [document.uri] });
      return [
        lens(structure, commandIds.inspectModel),
        lens(l10n.t('Open explorer'), commandIds.inspectModel),
        lens(l10n.t('Open heatmap'), commandIds.openHeatmap),
        lens(l10n.t('Profile'), commandIds.profileLayers),
      ];
    } catch (error) {
      this.#log.debug(`${document.uri.fsPath}: ${String(error)}`);
      return [];
    }
  }

  public dispose(): void {
    this.#registration.dispose();
  }
}
