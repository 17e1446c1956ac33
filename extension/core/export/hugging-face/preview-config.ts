import { applyEdits, format } from 'jsonc-parser';
import { requireFamily } from '../../models/model-family';
import type { ModelSummary } from '../../models/model-summary';
import type { WidthPrunedModel } from '../../models/width-pruning/describe-width-pruned';
import { layOutChanges, needsModule } from '../changes';
import type { Patches } from '../changes';
import { previewPrunedFile } from '../preview-file';
import type { ConfigPreview } from '../preview-file';
import { describeLoading, rewriteConfig } from './pruned-config';

/** Previews the changes in config.json if the model is written without `removed` and with some patches. */
export function previewPrunedConfig(
  configText: string,
  removed: readonly string[],
  summary: ModelSummary,
  patches: Patches = new Map(),
  widthPruned?: WidthPrunedModel,
): ConfigPreview {
  const { configText: changedText = configText } = widthPruned ?? {};
  const changes = layOutChanges(widthPruned?.summary ?? summary, removed, undefined, patches);
  const family = requireFamily(changedText, 'config.json');
  return {
    before: toLines(configText),
    after: rewriteConfig({ family, configText: toLines(changedText) }, changes),
    loadsWith: describeLoading({ family, configText: changedText }, needsModule(changes)),
  };
}

/** Shows the change of config.json, or of the header of a model in one file, which has no config. */
export function previewPruned(
  configText: string | undefined,
  removed: readonly string[],
  summary: ModelSummary,
  patches: Patches,
  widthPruned?: WidthPrunedModel,
): ConfigPreview {
  return configText === undefined
    ? previewPrunedFile(removed, widthPruned?.summary ?? summary)
    : previewPrunedConfig(configText, removed, summary, patches, widthPruned);
}

function toLines(text: string): string {
  return text.trim().includes('\n')
    ? text
    : applyEdits(text, format(text, undefined, { tabSize: 2, insertSpaces: true }));
}
