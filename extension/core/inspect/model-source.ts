import type { ConfigFields } from '../models/transformer/config-layout';
import type { SublayerSummary } from '../models/model-summary';
import type {
  GraphFacts,
  ModelFacts,
  PartKind,
  StoredTensor,
  Understanding,
  WeightFile,
} from './model-description';
import type { Message } from '../message';

/** A sublayer that the architecture table or the graph tells of. */
export interface KnownSublayer {
  readonly summary: SublayerSummary;
  readonly tensors: readonly StoredTensor[];
  /** Numbers kept per token of context, where a graph tells; else the tensors' shapes do. */
  readonly cacheElements?: number;
}

/** A model's files as read, before its tensors are put into blocks. */
export interface ModelSource {
  readonly name?: string;
  readonly family: string | undefined;
  readonly understood: Understanding;
  readonly tensors: readonly StoredTensor[];
  /** In model order; empty where only names are known. */
  readonly sublayers: readonly KnownSublayer[];
  /** Where tensors outside of the blocks belong, if a graph says so; names decide for the others. */
  readonly parts: ReadonlyMap<StoredTensor, PartKind>;
  readonly config: ConfigFields;
  readonly tiedHead?: boolean;
  /** What the files tell besides the configuration, which has the last word. */
  readonly facts?: ModelFacts;
  readonly graph?: GraphFacts;
  readonly metadata: Readonly<Record<string, string>>;
  readonly files: readonly Omit<WeightFile, 'tensors'>[];
  readonly warnings: readonly Message[];
}
