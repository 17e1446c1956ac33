import { CodeLens, l10n, languages, Range } from 'vscode';
import type { CodeLensProvider, Disposable, TextDocument } from 'vscode';
import { documentGlob } from '../core/document-names';
import { plannedModelPath } from '../core/plans/plan';
import type { Plan } from '../core/plans/plan';
import { commandIds } from '../services/command-ids';
import type { Documents } from '../services/documents/documents';
import { formatPercent } from '../core/format';
import type { OpenModels } from '../services/documents/open-models';
import { unitsMeant } from '../core/models/units';
import { selectionCost } from '../services/sessions/selection';
import { counts } from '../services/counts';

/** Lens above a plan with its removals and actions. */
export class PlanCodeLens implements CodeLensProvider, Disposable {
  readonly #models: OpenModels;
  readonly #documents: Documents;
  readonly #registration: Disposable;

  public constructor(models: OpenModels, documents: Documents) {
    this.#models = models;
    this.#documents = documents;
    this.#registration = languages.registerCodeLensProvider(
      { scheme: 'file', pattern: documentGlob('plan') },
      this,
    );
  }

  public async provideCodeLenses(document: TextDocument): Promise<CodeLens[]> {
    const top = new Range(0, 0, 0, 0);
    const lens = (title: string, command: string): CodeLens =>
      new CodeLens(top, { title, command, arguments: [document.uri] });
    const actions = [
      lens(l10n.t('Prune…'), commandIds.pruneLayers),
      lens(l10n.t('Open in heatmap'), commandIds.openHeatmap),
      lens(l10n.t('Evaluate'), commandIds.evaluateModel),
    ];
    const compressionLenses = [
      lens(l10n.t('Compress…'), commandIds.compressModel),
      lens(l10n.t('Open compression panel'), commandIds.openCompression),
    ];
    try {
      const path = document.uri.fsPath;
      const plan = await this.#documents.read('plan', path, document.getText());
      const compresses =
        (plan.compress?.length ?? 0) > 0 || Object.keys(plan.types ?? {}).length > 0;
      const command = compresses ? commandIds.openCompression : commandIds.openHeatmap;
      const title = await this.#summary(plan, path);
      return [lens(title, command), ...(compresses ? compressionLenses : actions)];
    } catch {
      // The diagnostics explain the problem.
      return actions;
    }
  }

  public dispose(): void {
    this.#registration.dispose();
  }

  async #summary(plan: Plan, path: string): Promise<string> {
    const model = await this.#models.summary(plannedModelPath(plan, path));
    const removed = [...new Set(plan.remove.flatMap((id) => unitsMeant(id, model)))];
    const { parameters } = selectionCost(removed, model);
    const compressed = plan.compress?.length ?? 0;
    const removal = l10n.t(
      'Removes {0} of {1} sublayers ({2} of parameters)',
      removed.length,
      model.sublayers.length,
      formatPercent(parameters / model.parameters),
    );
    const widthPruned = plan.widths?.length ?? 0;
    const patched = plan.patch?.length ?? 0;
    const typed = Object.keys(plan.types ?? {}).length;
    return [
      ...(removed.length === 0 && widthPruned + compressed + patched + typed > 0 ? [] : [removal]),
      ...(widthPruned === 0
        ? []
        : [l10n.t('Prunes the width of {0}', counts.sublayers(widthPruned))]),
      ...(compressed === 0 ? [] : [l10n.t('Compresses {0}', counts.layers(compressed))]),
      ...(typed === 0 ? [] : [l10n.t('Sets the types of {0}', counts.tensors(typed))]),
      ...(patched === 0 ? [] : [l10n.t('Patches {0}', counts.sublayers(patched))]),
    ].join(' · ');
  }
}
