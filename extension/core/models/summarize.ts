import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import type { ModelFolder } from '../checkpoints/model-folder';
import type { CompressedEncodings } from './encodings/encoding-spec';
import type { ModelSummary, SublayerSummary } from './model-summary';
import { describePatch } from './patch/symbolic-patch';
import type { PatchSpecs } from './patch/symbolic-patch';
import { embeddingAndHeadLinears, embeddingAndHeadTensors } from './transformer/embedding-and-head';
import type { EmbeddingAndHead } from './transformer/embedding-and-head';
import { weightCounter } from './modules/costs';
import { cacheBytes } from './modules/sublayer';
import type { Sublayer } from './modules/sublayer-list';
import { counted, say } from '../message';
import type { Message } from '../message';

/** Parts of a model that were found in a checkpoint. */
interface FoundModel {
  readonly folder: ModelFolder;
  readonly config: {
    readonly model_type: string;
    readonly num_hidden_layers: number;
    readonly hidden_size: number;
    readonly espalier?:
      | {
          readonly compressed?: CompressedEncodings | undefined;
          readonly widths?: Readonly<Record<string, number>> | undefined;
        }
      | undefined;
  };
  readonly checkpoint: Checkpoint;
  readonly layout: FoundLayout;
  readonly embeddingAndHead: EmbeddingAndHead;
  readonly fingerprint: string;
  /** Sizes that are the family's own. */
  readonly sizes: Pick<
    ModelSummary,
    'vocabularySize' | 'maxPositions' | 'tiedHead' | 'keepsBlocks'
  >;
}

/** Parts of a layout that its summary depends on. */
export interface SummarizedLayout {
  readonly sublayers: readonly Sublayer[];
  /** True if attention caches keys and values. */
  readonly keepsCache: boolean;
}

interface FoundLayout extends SummarizedLayout {
  readonly absent: readonly string[];
  readonly unused: readonly string[];
  readonly computed: readonly string[];
}

/** Summary printed by `inspect`. */
export function summarizeModel(found: FoundModel): ModelSummary {
  const { folder, config, checkpoint, layout, embeddingAndHead, fingerprint, sizes } = found;
  const tensors = [...checkpoint.tensors.values()];
  const unused = new Set([...layout.unused, ...layout.computed]);
  const used = tensors.filter((tensor) => !unused.has(tensor.name));
  const { compressed, widths } = config.espalier ?? {};
  return {
    name: folder.name,
    path: folder.path,
    architecture: config.model_type,
    parameters: sum(
      used,
      weightCounter([
        ...layout.sublayers.flatMap(({ linears }) => linears),
        ...embeddingAndHeadLinears(embeddingAndHead),
      ]),
    ),
    bytes: sum(tensors, (tensor) => tensor.length),
    dtypes: bytesByDType(checkpoint),
    blocks: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    ...sizes,
    sublayers: summarizeSublayers(layout),
    ...(layout.absent.length === 0 ? {} : { absent: layout.absent }),
    ...(compressed === undefined ? {} : { compressed }),
    ...(widths === undefined ? {} : { widths }),
    ...summarizePatches(layout.sublayers),
    fingerprint,
    warnings: unusedWarnings(layout.unused),
  };
}

/** Warnings for tensors of a checkpoint that the model doesn't use. */
export function unusedWarnings(unused: readonly string[]): Message[] {
  const [first] = unused;
  return first === undefined
    ? []
    : [
        say`${counted(unused.length, 'tensor')} of the checkpoint are not used by this architecture (such as ${first}).`,
      ];
}

/** Bytes of each element type, as stored. */
export function bytesByDType({ tensors }: Checkpoint): Record<string, number> {
  const bytes: Record<string, number> = {};
  for (const { dtype, length } of tensors.values()) {
    bytes[dtype] = (bytes[dtype] ?? 0) + length;
  }
  return bytes;
}

export function summarizeSublayers(layout: SummarizedLayout): SublayerSummary[] {
  const users = new Map<LazyTensor, number>();
  for (const tensor of layout.sublayers.flatMap((sublayer) => sublayer.tensors())) {
    users.set(tensor, (users.get(tensor) ?? 0) + 1);
  }
  return layout.sublayers.map((sublayer) => {
    const staying = new Set(sublayer.stayingTensors);
    const all = sublayer.tensors();
    const own = all.filter((tensor) => users.get(tensor) === 1 && !staying.has(tensor));
    const shared = all.filter(
      (one) => one.shape.length > 1 && !own.includes(one) && !staying.has(one),
    );
    return {
      ...summarizeSublayer(sublayer, own, layout),
      ...(shared.length === 0
        ? {}
        : {
            sharedWeights: sum(shared, weightCounter(sublayer.linears)),
            shares: shared.map(({ name }) => name),
          }),
    };
  });
}

function summarizeSublayer(
  sublayer: Sublayer,
  own: readonly LazyTensor[],
  { keepsCache }: SummarizedLayout,
): SublayerSummary {
  const {
    id,
    block,
    linears,
    flopsPerToken,
    cachedNumbers = 0,
    cacheWindow,
    expertSummary,
  } = sublayer;
  return {
    id,
    block,
    kind: sublayer.summaryKind,
    parameters: sum(own, weightCounter(linears)),
    bytes: sum(own, (tensor) => tensor.length),
    flopsPerToken,
    kvBytesPerToken: keepsCache ? Math.round(cachedNumbers * cacheBytes(own)) : 0,
    ...(keepsCache && cachedNumbers > 0 && cacheWindow !== undefined
      ? { kvWindow: cacheWindow }
      : {}),
    ...(sublayer.stayingTensors.length === 0 ? {} : { leavesParts: true }),
    ...(expertSummary === undefined ? {} : { experts: expertSummary }),
  };
}

/** Patches that replace removed sublayers, if any. */
export function summarizePatches(sublayers: readonly Sublayer[]): Pick<ModelSummary, 'patches'> {
  const patches: PatchSpecs = Object.fromEntries(
    sublayers.flatMap((sublayer) =>
      sublayer.kind === 'patch' ? [[sublayer.id, describePatch(sublayer.patch)]] : [],
    ),
  );
  return Object.keys(patches).length === 0 ? {} : { patches };
}

/** Parameters and bytes of embedding and head. Tied weights are counted once. */
export function summarizeEmbeddingAndHead(
  embeddingAndHead: EmbeddingAndHead,
): Pick<SublayerSummary, 'parameters' | 'bytes'> {
  const tensors = embeddingAndHeadTensors(embeddingAndHead);
  return {
    parameters: sum(tensors, weightCounter(embeddingAndHeadLinears(embeddingAndHead))),
    bytes: sum(tensors, ({ length }) => length),
  };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
