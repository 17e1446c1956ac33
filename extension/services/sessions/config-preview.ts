/** Code of the preview of config.json or of a header: a bundle of its own, which the first heatmap loads. */
export { readConfigText } from '../../core/checkpoints/config-text';
export { previewPruned } from '../../core/export/hugging-face/preview-config';
export { diffLines } from './line-diff';
