import { basename } from 'node:path';
import { isGguf } from '../checkpoints/model-folder';
import { refused } from '../models/capability';
import type { ModelSummary } from '../models/model-summary';
import { deciArchitecture, needsDeci } from './gguf/gguf-sizes';
import { explainUnsupportedLayout } from './gguf/llama-cpp/layout-rules';
import { checkChanges, layOutChanges, needsModule } from './changes';
import type { Changes, Patches } from './changes';
import { counted, say } from '../message';
import type { Message } from '../message';
import { applyEdits, format } from 'jsonc-parser';
import { requireFamily } from '../models/model-family';
import type { WidthPrunedModel } from '../models/width-pruning/describe-width-pruned';
import { describeLoading, rewriteConfig } from './hugging-face/pruned-config';

/** Change of config.json for display. */
interface ConfigPreview {
  /** The source's text, one field a line. */
  readonly before: string;
  readonly after: string;
  /** Sentence about how other tools load the result. */
  readonly loadsWith: Message;
}

/** Sentence about how other tools load a pruned GGUF file. */
export function describeGgufLoading(
  name: string,
  { blocks, absent }: Changes,
  isDeci: boolean,
): Message {
  if (isDeci) {
    // Blocks of different widths need this architecture too.
    return absent.length === 0
      ? say`llama.cpp and tools built on it: ${name}, a deci model of ${counted(blocks.length, 'block')}.`
      : say`llama.cpp and tools built on it: ${name}, a deci model of ${counted(blocks.length, 'block')} without ${counted(absent.length, 'sublayer')}.`;
  }
  return say`llama.cpp and tools built on it: ${name}, a standard model of ${counted(blocks.length, 'block')}.`;
}

/** Sentence about how other tools load a pruned ONNX file. */
export function describeGraphLoading(graph: string, data: string): Message {
  return say`ONNX Runtime: ${graph} with ${data} next to it; inputs and outputs keep their names.`;
}

/**
 * Shows what writing a model in one file without `removed` changes in its header.
 * @throws UserError when the file cannot be written so.
 */
export function previewPrunedFile(
  removed: readonly string[],
  summary: ModelSummary,
): ConfigPreview {
  const changes = checkChanges(summary, removed);
  const name = basename(summary.path);
  if (!isGguf(name)) {
    const loadsWith = describeGraphLoading(name, name.replace(/\.onnx$/i, '.onnx_data'));
    return { before: '', after: '', loadsWith };
  }
  const isDeci = summary.architecture === 'llama' && needsDeci(changes);
  const layout = isDeci ? 'deci' : 'blocks';
  const refusal = explainUnsupportedLayout({ summary, layout }, changes);
  if (refusal !== undefined) {
    throw refused(refusal, summary.path);
  }
  const lacksSome = (summary.absent ?? []).length > 0;
  const header = (blocks: number, architecture: string): string =>
    `general.architecture = ${architecture}\nblock_count = ${blocks}\n`;
  return {
    before: header(summary.blocks, lacksSome ? deciArchitecture : summary.architecture),
    after: header(changes.blocks.length, isDeci ? deciArchitecture : summary.architecture),
    loadsWith: describeGgufLoading(name, changes, isDeci),
  };
}

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
