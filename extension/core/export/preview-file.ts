import { basename } from 'node:path';
import { isGguf } from '../checkpoints/model-folder';
import type { ModelSummary } from '../models/model-summary';
import type { ConfigPreview } from './pruned-config';
import { checkRemoval, requireWholeBlocks } from './removal';

/** How other tools load a pruned GGUF file, as a sentence. */
export function describeGgufLoading(name: string, blocks: number): string {
  return `llama.cpp and what is built on it: ${name}, an ordinary model of ${blocks} blocks.`;
}

/** How other tools load a pruned ONNX file, as a sentence. */
export function describeGraphLoading(graph: string, data: string): string {
  return `ONNX Runtime: ${graph} with ${data} beside it; inputs and outputs are named as before.`;
}

/**
 * Shows what writing a model in one file without `removed` changes in its header.
 * @throws UserError when the file cannot be written so.
 */
export function previewPrunedFile(
  removed: readonly string[],
  summary: ModelSummary,
): ConfigPreview {
  const removal = checkRemoval(summary, removed);
  const name = basename(summary.path);
  if (!isGguf(name)) {
    const loadsWith = describeGraphLoading(name, name.replace(/\.onnx$/i, '.onnx_data'));
    return { before: '', after: '', loadsWith };
  }
  requireWholeBlocks(summary, removal);
  const count = (blocks: number): string => `block_count = ${blocks}\n`;
  return {
    before: count(summary.blocks),
    after: count(removal.blocks.length),
    loadsWith: describeGgufLoading(name, removal.blocks.length),
  };
}
