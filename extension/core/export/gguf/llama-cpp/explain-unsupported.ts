import type { Refusal } from '../../../models/capability';
import { blockRules } from './block-rules';
import type { Kept, LlamaCppFacts } from './rule';
import { valueRules } from './value-rules';
import { say } from '../../../message';

/** Returns the first constraint of llama.cpp that what is kept of a model violates. */
export function explainUnsupportedInLlamaCpp(
  facts: LlamaCppFacts,
  kept: Kept,
): Refusal | undefined {
  const isConfig = facts.source === 'config';
  const rules = isConfig ? [...valueRules, ...blockRules] : blockRules;
  for (const { field, key = field, applies = () => true, check } of rules) {
    const found = applies(facts) ? check(facts, kept) : undefined;
    if (found !== undefined) {
      return {
        ...{ code: 'not-in-gguf', file: facts.configFile, reason: found.reason },
        field: isConfig ? (found.field ?? field) : `${facts.target.architecture}.${key}`,
        remedy:
          found.remedy ??
          (isConfig
            ? say`Choose another format.`
            : say`Prune the Hugging Face folder of the model.`),
      };
    }
  }
  return undefined;
}
