import type { SublayerKind } from '../models/model-summary';
import { cacheElements, flopsPerToken, sumTotals } from './costs';
import { partKinds } from './model-description';
import type {
  BlockDescription,
  ModelFacts,
  PartDescription,
  PartKind,
  StoredTensor,
  SublayerDescription,
} from './model-description';
import type { KnownSublayer, ModelSource } from './model-source';
import { kindByName, parseNumbered, partByName } from './tensor-names';

/** Sublayer whose tensors are still being collected. */
interface Draft {
  readonly id: string;
  readonly kind: SublayerKind;
  readonly known: KnownSublayer | undefined;
  readonly tensors: StoredTensor[];
}

interface DraftBlock {
  readonly id: string;
  readonly index: number;
  readonly sublayers: Draft[];
}

/** Tensors of a model, arranged in blocks and other parts. */
export interface Arrangement {
  readonly blocks: readonly BlockDescription[];
  readonly parts: readonly PartDescription[];
}

/**
 * Assigns every tensor of a model to exactly one sublayer of a block, or to a part outside the blocks. Tensors that
 * don't belong to a known sublayer are assigned by name: `PREFIX.N.` is a block.
 */
export function arrange(source: ModelSource, facts: ModelFacts): Arrangement {
  const blocks = knownBlocks(source.sublayers);
  const homes = blockByTensor(blocks);
  const taken = new Set(source.sublayers.flatMap(({ tensors }) => tensors));
  const parts = new Map(partKinds.map((part): [PartKind, StoredTensor[]] => [part, []]));
  // The tensors of a graph are named by its exporter, and their places are known without.
  const byName = source.understood.by !== 'graph';
  for (const tensor of source.tensors) {
    if (taken.has(tensor)) {
      continue;
    }
    const part = source.parts.get(tensor);
    const numbered = part === undefined && byName ? parseNumbered(tensor.name) : undefined;
    if (numbered === undefined) {
      parts.get(part ?? partByName(tensor.name))?.push(tensor);
      continue;
    }
    const { prefix, index, rest } = numbered;
    const key = blockKey(prefix, index);
    const block = homes.get(key) ?? { id: key, index, sublayers: [] };
    if (!homes.has(key)) {
      homes.set(key, block);
      blocks.push(block);
    }
    findDraft(block, kindByName(rest)).tensors.push(tensor);
  }
  return {
    blocks: order(blocks).map((block) => describeBlock(block, facts)),
    parts: [...parts].flatMap(([part, tensors]) =>
      tensors.length === 0 ? [] : [describePart(part, tensors)],
    ),
  };
}

function knownBlocks(sublayers: readonly KnownSublayer[]): DraftBlock[] {
  const blocks = new Map<number, DraftBlock>();
  for (const known of sublayers) {
    const { id, block: index, kind } = known.summary;
    const block = blocks.get(index) ?? { id: `block.${index}`, index, sublayers: [] };
    blocks.set(index, block);
    block.sublayers.push({ id, kind, known, tensors: [...known.tensors] });
  }
  return [...blocks.values()];
}

/** Known blocks by the prefix and number that their tensors have in common. */
function blockByTensor(blocks: readonly DraftBlock[]): Map<string, DraftBlock> {
  const homes = new Map<string, DraftBlock>();
  for (const block of blocks) {
    for (const { tensors } of block.sublayers) {
      for (const { name } of tensors) {
        const numbered = parseNumbered(name);
        if (numbered?.index === block.index) {
          homes.set(blockKey(numbered.prefix, numbered.index), block);
        }
      }
    }
  }
  return homes;
}

function findDraft(block: DraftBlock, kind: SublayerKind): Draft {
  const found = block.sublayers.find((sublayer) => sublayer.kind === kind);
  if (found !== undefined) {
    return found;
  }
  const draft = { id: `${block.id}.${kind}`, kind, known: undefined, tensors: [] };
  block.sublayers.push(draft);
  return draft;
}

function blockKey(prefix: string, index: number): string {
  return prefix === '' ? String(index) : `${prefix}.${index}`;
}

/** Stacks in the order in which they are first met, each by its numbers. */
function order(blocks: readonly DraftBlock[]): DraftBlock[] {
  const stackPrefix = ({ id, index }: DraftBlock): string =>
    id.slice(0, id.length - `${index}`.length);
  const stacks = [...new Set(blocks.map(stackPrefix))];
  return stacks.flatMap((stack) =>
    blocks.filter((block) => stackPrefix(block) === stack).sort((a, b) => a.index - b.index),
  );
}

function describeBlock({ id, index, sublayers }: DraftBlock, facts: ModelFacts): BlockDescription {
  const described = sublayers.map((draft) => describeSublayer(draft, facts));
  return { id, index, sublayers: described, ...sumTotals(described) };
}

function describeSublayer(
  { id, kind, known, tensors }: Draft,
  facts: ModelFacts,
): SublayerDescription {
  const cached = known?.cacheElements ?? cacheElements(kind, tensors, facts);
  const [first] = tensors;
  const width = first === undefined || first.parameters === 0 ? 0 : first.bytes / first.parameters;
  return {
    id,
    kind,
    ...sumTotals(tensors),
    flopsPerToken: known?.summary.flopsPerToken ?? flopsPerToken(kind, tensors, facts),
    kvBytesPerToken:
      known?.summary.kvBytesPerToken ?? (cached === undefined ? undefined : cached * width),
    kvElementsPerToken: cached,
    kvWindow: known?.summary.kvWindow,
    tensors,
  };
}

function describePart(part: PartKind, tensors: readonly StoredTensor[]): PartDescription {
  return {
    part,
    ...sumTotals(tensors),
    flopsPerToken: part === 'head' ? flopsPerToken('other', tensors, {}) : 0,
    tensors,
  };
}
