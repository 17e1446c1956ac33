import { applyEdits, format } from 'jsonc-parser';
import type { Message } from '../../message';
import { requireFamily } from '../../models/model-family';
import type { ModelSummary } from '../../models/model-summary';
import type { WidthPrunedModel } from '../../models/width-pruning/describe-width-pruned';
import { layOutChanges, needsModule } from '../changes';
import type { Patches } from '../changes';
import { describeLoading, rewriteConfig } from './pruned-config';

/** A change of config.json as the user is shown it. */
export interface ConfigPreview {
  /** The source's text, one field a line. */
  readonly before: string;
  readonly after: string;
  /** Sentence about how other tools load the result. */
  readonly loadsWith: Message;
}

/** Shows what writing the model without `removed`, and with patches in some of their places, changes in config.json. */
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

function toLines(text: string): string {
  return text.trim().includes('\n')
    ? text
    : applyEdits(text, format(text, undefined, { tabSize: 2, insertSpaces: true }));
}
