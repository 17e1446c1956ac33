import type { GgufTarget } from '../../../models/gguf/gguf-target';
import { hasExperts } from '../../../models/gguf/tensor-placement';
import type { Message } from '../../../message';
import type { Architecture } from '../../../models/transformer/architecture';
import type { ModelConfig } from '../../../models/transformer/model-config';
import type { Changes } from '../../changes';

/** A model as its architecture and config, from a config.json or a GGUF header, and its form in llama.cpp. */
export interface LlamaCppFacts {
  readonly source: 'config' | 'header';
  /** config.json or the GGUF file, for errors. */
  readonly configFile: string;
  readonly config: ModelConfig;
  readonly architecture: Architecture;
  readonly target: Pick<GgufTarget, 'architecture' | 'family'>;
}

/** Blocks, experts and widths that are kept. */
export type Kept = Pick<Changes, 'blocks' | 'expertCounts' | 'widths'>;

/** A constraint of llama.cpp on the models of an architecture. */
export interface LlamaCppRule {
  /** Field of config.json that violates it, and key of a GGUF header without the architecture. */
  readonly field: string;
  readonly key?: string;
  /** True if the rule concerns the model; every model if absent. */
  readonly applies?: (facts: LlamaCppFacts) => boolean;
  /** The violation by what is kept; undefined if llama.cpp computes the result correctly. */
  readonly check: (facts: LlamaCppFacts, kept: Kept) => Violation | undefined;
}

interface Violation {
  readonly reason: Message;
  /** Another selection that llama.cpp computes. */
  readonly remedy?: Message;
  /** Field of config.json, if it depends on the model. */
  readonly field?: string;
}

export const isArchitecture =
  (...names: readonly string[]) =>
  ({ target }: LlamaCppFacts): boolean =>
    names.includes(target.architecture);

export const hasWindow = ({ architecture, config }: LlamaCppFacts, block: number): boolean =>
  architecture.slidingWindow(config, block) !== undefined;

export const hasMixture = ({ architecture, config }: LlamaCppFacts): boolean =>
  hasExperts(architecture, config);
