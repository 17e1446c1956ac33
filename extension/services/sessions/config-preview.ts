/** Preview of config.json or of a GGUF header; a separate bundle that the first heatmap loads. */
export { readConfigText } from '../../core/checkpoints/model-folder';
export { previewPruned } from '../../core/export/preview-file';
export { diffLines } from './line-diff';
