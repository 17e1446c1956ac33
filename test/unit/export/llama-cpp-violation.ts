import type { Changes } from '../../../extension/core/export/changes';
import { explainUnsupportedInLlamaCpp } from '../../../extension/core/export/gguf/llama-cpp/explain-unsupported';
import type { LlamaCppFacts } from '../../../extension/core/export/gguf/llama-cpp/rule';
import type { Refusal } from '../../../extension/core/models/capability';
import type { ModelSummary } from '../../../extension/core/models/model-summary';

/** The constraint of llama.cpp that whole blocks of a model violate, which is known by its family and config alone. */
export function llamaCppViolation(
  facts: Omit<LlamaCppFacts, 'summary' | 'layout' | 'output'>,
  blocks: readonly number[],
  changes: Partial<Changes> = {},
): Refusal | undefined {
  const { target, config } = facts;
  const summary: Partial<ModelSummary> = {
    ...{ architecture: target.architecture, blocks: config.num_hidden_layers, sublayers: [] },
  };
  const kept: Partial<Changes> = {
    ...{ removed: [], absent: [], expertCounts: new Map(), widths: {} },
    ...{ patches: new Map(), matrices: new Map() },
    remaining: [...new Set(blocks)].map(
      (block) => ({ kind: 'feedforward', block }) as Changes['remaining'][number],
    ),
    blocks,
    ...changes,
  };
  return explainUnsupportedInLlamaCpp(
    { ...facts, layout: 'blocks', output: 'logits', summary: summary as ModelSummary },
    kept as Changes,
  );
}
