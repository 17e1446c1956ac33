import { blockRules, sizeRules } from './block-rules';
import { layoutRules } from './layout-rules';
import { findViolation } from './rule';
import type { LlamaCppFacts, LlamaCppRule } from './rule';
import { modelRules, poolingRules } from './model-rules';
import { valueRules } from './value-rules';
import type { Refusal } from '../../../models/capability';
import type { Changes } from '../../changes';
import { say } from '../../../message';

/** Returns the first constraint of llama.cpp that a changed model violates. */
export function explainUnsupportedInLlamaCpp(
  facts: LlamaCppFacts,
  changes: Changes,
): Refusal | undefined {
  const isConfig = facts.source === 'config';
  const rules: readonly LlamaCppRule[] = [
    ...modelRules,
    ...(isConfig ? valueRules : []),
    ...blockRules,
    ...layoutRules,
    ...sizeRules,
    ...poolingRules,
  ];
  const found = findViolation(rules, facts, changes);
  if (found === undefined) {
    return undefined;
  }
  const { field, key = field } = found.rule;
  return {
    code: 'not-in-gguf',
    ...(field === undefined
      ? {}
      : {
          file: facts.configFile,
          field: isConfig ? field : `${facts.target.architecture}.${key}`,
        }),
    remedy: isConfig
      ? say`Choose another format.`
      : say`Prune the Hugging Face folder of the model.`,
    ...found.violation,
  };
}
