import type { ConfigFields } from '../models/transformer/model-config';
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
  /**
   * Cache elements per token of context, if a graph states them; otherwise they follow from the
   * shapes of the tensors.
   */
  readonly cacheElements?: number;
}

/** A model's files as read, before its tensors are put into blocks. */
export interface ModelSource {
  readonly name?: string;
  readonly family: string | undefined;
  readonly understood: Understanding;
  readonly tensors: readonly StoredTensor[];
  /** In model order; empty if only tensor names are known. */
  readonly sublayers: readonly KnownSublayer[];
  /**
   * Parts of tensors outside of the blocks, if a graph determines them; others are assigned by
   * name.
   */
  readonly parts: ReadonlyMap<StoredTensor, PartKind>;
  readonly config: ConfigFields;
  readonly tiedHead?: boolean;
  /** Facts from the files. The configuration takes precedence. */
  readonly facts?: ModelFacts;
  readonly graph?: GraphFacts;
  readonly metadata: Readonly<Record<string, string>>;
  readonly files: readonly Omit<WeightFile, 'tensors'>[];
  readonly warnings: readonly Message[];
}
