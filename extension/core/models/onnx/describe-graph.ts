import { elementCount } from '../../checkpoints/lazy-tensor';
import { fillArray, isArrayDType } from '../../checkpoints/numeric-array';
import { fixedSize, idsPort } from '../example';
import type { Example } from '../model-input';
import type { ModelSummary } from '../model-summary';
import type { ConfigFields } from '../transformer/config-layout';
import { isPast } from './stream/cache-ports';
import { rotatedPositions } from './stream/group-attention';
import type { OnnxModel } from './stream/graph-stream';

/** Returns the model summary, including language model facts from the config files of the folder. */
export function describe(model: OnnxModel, output: string, config: ConfigFields): ModelSummary {
  const { summary } = model;
  const ids = idsPort(summary.inputs);
  if (ids === undefined) {
    return summary;
  }
  const number = (...fields: readonly string[]): number | undefined =>
    fields.map((field) => config[field]).find((value) => typeof value === 'number');
  const port = summary.outputs.find(({ name }) => name === output);
  const last = fixedSize(port, (port?.shape?.length ?? 0) - 1);
  const vocabularySize = number('vocab_size') ?? (output === 'logits' ? last : undefined);
  const maxPositions =
    fixedSize(ids, 1) ??
    rotatedPositions(model) ??
    number('max_position_embeddings', 'n_positions', 'n_ctx');
  const hiddenSize = number('hidden_size', 'n_embd', 'd_model');
  return {
    ...summary,
    ...(hiddenSize === undefined ? {} : { hiddenSize }),
    ...(vocabularySize === undefined ? {} : { vocabularySize }),
    ...(maxPositions === undefined ? {} : { maxPositions }),
  };
}

/** True if the graph has KV cache inputs. */
export function readsCaches({ index }: OnnxModel): boolean {
  return index.inputs.some(({ name }) => isPast(name) && index.consumers.has(name));
}

/** Input that selects the If branch of this model. */
export function graphSettings({ place, summary }: OnnxModel): Example {
  const condition = place?.wrapping.condition;
  const port = summary.inputs.find(({ name }) => name === condition?.input);
  if (condition === undefined || port === undefined || !isArrayDType(port.dtype)) {
    return {};
  }
  const dims = (port.shape ?? []).map((size) => (typeof size === 'number' ? size : 1));
  const data = fillArray(port.dtype, elementCount(dims), () => Number(condition.value));
  return { [port.name]: { dtype: port.dtype, dims, data } };
}
