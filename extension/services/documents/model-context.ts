import type { Capabilities } from '../../core/models/capabilities';
import type { ModelSummary } from '../../core/models/model-summary';

/** Type that most of the weights are stored in, such as `F16` or `Q4_K`. */
export function mainType({
  dtypes,
  quantization,
}: Pick<ModelSummary, 'dtypes' | 'quantization'>): string {
  const [most] = Object.entries(dtypes).sort(([, a], [, b]) => b - a);
  return quantization?.method ?? most?.[0] ?? '';
}

/** Words that context menus test: `model`, and what the model can do. */
export function modelContext(capabilities: Capabilities): string {
  const { removeBlocks, removeAttention, removeFeedforward, run } = capabilities;
  const able = {
    generate: capabilities.generate.able,
    evaluate: capabilities.evaluate.able,
    profile: run.able && (removeBlocks.able || removeAttention.able || removeFeedforward.able),
    repair: capabilities.repair.able,
  };
  const words = Object.entries(able).flatMap(([word, isAble]) => (isAble ? [word] : []));
  return ['model', ...words].join(' ');
}
