import { fixedSize, idsPort } from '../example';
import type { ModelSummary } from '../model-summary';
import type { ConfigFields } from '../transformer/config-layout';
import type { OnnxModel } from './stream/stream-of-graph';

/** The summary, with what the files beside the graph say of a language model. */
export function describe(
  { summary }: OnnxModel,
  output: string,
  config: ConfigFields,
): ModelSummary {
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
    fixedSize(ids, 1) ?? number('max_position_embeddings', 'n_positions', 'n_ctx');
  const hiddenSize = number('hidden_size', 'n_embd', 'd_model');
  return {
    ...summary,
    ...(hiddenSize === undefined ? {} : { hiddenSize }),
    ...(vocabularySize === undefined ? {} : { vocabularySize }),
    ...(maxPositions === undefined ? {} : { maxPositions }),
  };
}
