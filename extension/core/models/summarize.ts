import { elementCount } from '../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../checkpoints/lazy-tensor';
import type { ModelFolder } from '../checkpoints/model-folder';
import type { AttentionShape } from './parts/attention';
import { formFlops, formWeights } from './forms/form-facts';
import type { CompressedForms } from './forms/form-spec';
import { numbersKept } from './parts/compressed/find-compressed';
import type { Linear } from './parts/linear';
import type { ModelSummary, SublayerSummary } from './model-summary';
import { describePatch, patchFlops } from './patch/symbolic-patch';
import type { PatchSpecs } from './patch/symbolic-patch';
import { outerLinears, outerTensors } from './transformer/outer-matrices';
import type { OuterLinears } from './transformer/outer-matrices';
import {
  expertTensors,
  sharedLinears,
  stayingTensors,
  sublayerLinears,
  sublayerTensors,
} from './transformer/sublayer-tensors';
import { idOfSublayer, isCross } from './transformer/transformer-sublayer';
import type { TransformerSublayer } from './transformer/transformer-sublayer';
import { counted, say } from '../message';
import type { Message } from '../message';

/** What has been found of a model in a checkpoint. */
interface FoundModel {
  readonly folder: ModelFolder;
  readonly config: {
    readonly model_type: string;
    readonly num_hidden_layers: number;
    readonly hidden_size: number;
    readonly espalier?:
      | {
          readonly compressed?: CompressedForms | undefined;
          readonly widths?: Readonly<Record<string, number>> | undefined;
        }
      | undefined;
  };
  readonly checkpoint: Checkpoint;
  readonly layout: FoundLayout;
  readonly outer: OuterLinears;
  readonly fingerprint: string;
  /** Sizes that are the family's own. */
  readonly sizes: Pick<
    ModelSummary,
    'vocabularySize' | 'maxPositions' | 'tiedHead' | 'keepsBlocks'
  >;
}

/** What the sublayers of a model are summarized from. */
export interface SummarizedLayout {
  readonly sublayers: readonly TransformerSublayer[];
  readonly attention: AttentionShape;
  /** Whether attention keeps keys and values for the tokens to come. */
  readonly keepsCache: boolean;
}

interface FoundLayout extends SummarizedLayout {
  readonly absent: readonly string[];
  readonly unused: readonly string[];
  readonly computed: readonly string[];
}

/** What `inspect` reports of it. */
export function summarizeModel(found: FoundModel): ModelSummary {
  const { folder, config, checkpoint, layout, outer, fingerprint, sizes } = found;
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
      weightCounter([...layout.sublayers.flatMap(sublayerLinears), ...outerLinears(outer)]),
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

/** What is said of tensors that a checkpoint has for nothing. */
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
  for (const tensor of layout.sublayers.flatMap((sublayer) => sublayerTensors(sublayer))) {
    users.set(tensor, (users.get(tensor) ?? 0) + 1);
  }
  return layout.sublayers.map((sublayer) => {
    const staying = new Set(stayingTensors(sublayer));
    const all = sublayerTensors(sublayer);
    const own = all.filter((tensor) => users.get(tensor) === 1 && !staying.has(tensor));
    const shared = all.filter(
      (one) => one.shape.length > 1 && !own.includes(one) && !staying.has(one),
    );
    return {
      ...summarizeSublayer(sublayer, own, layout),
      ...(shared.length === 0
        ? {}
        : {
            sharedWeights: sum(shared, weightCounter(sublayerLinears(sublayer))),
            shares: shared.map(({ name }) => name),
          }),
    };
  });
}

function summarizeSublayer(
  sublayer: TransformerSublayer,
  own: readonly LazyTensor[],
  layout: SummarizedLayout,
): SublayerSummary {
  const heads = sublayer.kind === 'attention' ? sublayer.heads : undefined;
  const { numKeyValueHeads, headDim, valueDim } = { ...layout.attention, ...heads };
  const compressed = sublayer.kind === 'attention' ? sublayer.weights.compressed : undefined;
  const numbers =
    compressed === undefined
      ? numKeyValueHeads * (headDim + valueDim)
      : numbersKept(compressed, layout.attention);
  const keeps =
    sublayer.kind === 'attention' && layout.keepsCache && sublayer.weights.othersKeys === undefined;
  return {
    id: idOfSublayer(sublayer),
    block: sublayer.block,
    kind: isCross(sublayer) ? 'cross-attention' : sublayer.kind,
    parameters: sum(own, weightCounter(sublayerLinears(sublayer))),
    bytes: sum(own, (tensor) => tensor.length),
    flopsPerToken: flopsPerToken(sublayer),
    kvBytesPerToken: keeps ? Math.round(numbers * cacheBytes(own)) : 0,
    ...(stayingTensors(sublayer).length === 0 ? {} : { leavesParts: true }),
    ...summarizeExperts(sublayer),
  };
}

/** Bytes of a number in a cache: as the narrowest floats are stored, and half precision beside quantized weights. */
function cacheBytes(own: readonly LazyTensor[]): number {
  const floats = own.filter(({ dtype }) => !/^[IU]\d/.test(dtype));
  const bytes = floats.map(({ length, shape }) => length / elementCount(shape));
  return floats.length === 0 ? 4 : Math.max(2, Math.min(...bytes));
}

/** What stands in the places of removed sublayers, if anything. */
export function summarizePatches(
  sublayers: readonly TransformerSublayer[],
): Pick<ModelSummary, 'patches'> {
  const patches: PatchSpecs = Object.fromEntries(
    sublayers.flatMap((sublayer) =>
      sublayer.kind === 'patch' ? [[idOfSublayer(sublayer), describePatch(sublayer.patch)]] : [],
    ),
  );
  return Object.keys(patches).length === 0 ? {} : { patches };
}

function summarizeExperts(sublayer: TransformerSublayer): Pick<SublayerSummary, 'experts'> {
  const tensors = expertTensors(sublayer);
  if (tensors === undefined || sublayer.kind !== 'expert') {
    return {};
  }
  const { byRow, experts } = tensors;
  const { count, perToken } = sublayer.shape;
  // A table would still name an expert that is gone.
  const isFixed = sublayer.weights.byToken !== undefined;
  const all = [...byRow, ...experts.flat()];
  return {
    experts: {
      count,
      perToken,
      ...(isFixed ? { least: count } : {}),
      parameters: Math.round(sum(all, weightCounter(sublayerLinears(sublayer))) / count),
      bytes: Math.round(sum(all, ({ length }) => length) / count),
    },
  };
}

/** What embedding and head cost, each tensor counted once. */
export function summarizeOuter(outer: OuterLinears): Pick<SublayerSummary, 'parameters' | 'bytes'> {
  const tensors = outerTensors(outer);
  return {
    parameters: sum(tensors, weightCounter(outerLinears(outer))),
    bytes: sum(tensors, ({ length }) => length),
  };
}

/** How many weights a tensor of these layers stands for. */
export function weightCounter(linears: readonly Linear[]): (tensor: LazyTensor) => number {
  const inForms = new Map(linears.flatMap(({ form }) => [...((form && formWeights(form)) ?? [])]));
  return (tensor) => inForms.get(tensor) ?? elementCount(tensor.shape);
}

/** Of a mixture of experts the router, the shared expert and the experts that a token is sent to. */
function flopsPerToken(sublayer: TransformerSublayer): number {
  const flops = (linears: readonly Linear[]): number =>
    sum(linears, ({ weight, form }) =>
      form === undefined ? 2 * elementCount(weight.shape) : formFlops(form),
    );
  if (sublayer.kind === 'patch') {
    return patchFlops(sublayer.patch);
  }
  if (sublayer.kind !== 'expert') {
    return flops(sublayerLinears(sublayer));
  }
  const { shape, weights } = sublayer;
  const always = flops([
    ...weights.router.map((weight) => ({ weight })),
    ...sharedLinears(weights),
  ]);
  const all = flops(sublayerLinears(sublayer)) - always;
  return always + (all * shape.perToken) / shape.count;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
