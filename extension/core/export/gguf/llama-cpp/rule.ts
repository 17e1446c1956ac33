import type { FamilyDescription } from '../../../models/gguf/family-description';
import type { GgufTarget } from '../../../models/gguf/gguf-target';
import { hasExperts } from '../../../models/gguf/tensor-placement';
import type { Refusal } from '../../../models/capability';
import type { FolderPooling } from '../../../models/folder-pooling';
import type { ModelSummary } from '../../../models/model-summary';
import type { Changes } from '../../changes';

/** A model, and the layout that it is written in. */
export interface LayoutFacts {
  readonly summary: ModelSummary;
  readonly layout: 'blocks' | 'deci';
}

/** Output of a model: hidden states, logits of tokens, or scores of classes. */
export type ModelOutput = 'states' | 'logits' | 'classes';

/** Family and config of a model, from a config.json or a GGUF header, with its llama.cpp architecture. */
export interface LlamaCppFacts extends LayoutFacts, FamilyDescription {
  readonly source: 'config' | 'header';
  /** config.json or the GGUF file, for errors. */
  readonly configFile: string;
  readonly output: ModelOutput;
  readonly target: Pick<GgufTarget, 'architecture' | 'family'>;
  /** Pooling of a Sentence Transformers folder. */
  readonly pooling?: FolderPooling | undefined;
}

/** A constraint of llama.cpp on the models of an architecture. */
export interface LlamaCppRule<Facts = LlamaCppFacts, Found = Violation> {
  /** Field of config.json that violates it, and key of a GGUF header without the architecture. */
  readonly field?: string;
  readonly key?: string;
  /** True if the rule concerns the model; every model if absent. */
  readonly applies?: (facts: Facts) => boolean;
  /** The violation by the changed model; undefined if llama.cpp computes it correctly. */
  readonly check: (facts: Facts, changes: Changes) => Found | undefined;
}

/** Refusal with the code `not-in-gguf` and the location of the rule by default. */
type Violation = Pick<Refusal, 'reason'> & Partial<Refusal>;

/** Returns the first violation, and the rule that is violated. */
export function findViolation<Facts, Found>(
  rules: readonly LlamaCppRule<Facts, Found>[],
  facts: Facts,
  changes: Changes,
): { readonly rule: LlamaCppRule<Facts, Found>; readonly violation: Found } | undefined {
  for (const rule of rules) {
    const violation = rule.applies?.(facts) === false ? undefined : rule.check(facts, changes);
    if (violation !== undefined) {
      return { rule, violation };
    }
  }
  return undefined;
}

/** Condition of a rule: the GGUF architecture is one of `names`. */
export const isArchitecture =
  (...names: readonly string[]) =>
  ({ target }: LlamaCppFacts): boolean =>
    names.includes(target.architecture);

/** True if a block has a sliding window. */
export const hasWindow = ({ architecture, config }: LlamaCppFacts, block: number): boolean =>
  architecture.slidingWindow(config, block) !== undefined;

/** True if the model has MoE layers. */
export const hasMixture = ({ architecture, config }: LlamaCppFacts): boolean =>
  hasExperts(architecture, config);
