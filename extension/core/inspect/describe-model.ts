import type { OpenModel } from '../models/model-cache';
import { openModelFiles } from '../models/open-model';
import type { ModelFormat } from '../models/model-headers';
import { readGgufSource, readSafetensorsSource } from './checkpoint-source';
import { configFacts, flatten } from './config-facts';
import { activeShare, sum, sumKnown, sumTotals, cacheElements, flopsPerToken } from './costs';
import { estimateCache, modelComposition, estimateMemory, estimateFineTuning } from './footprint';
import { locateWeights } from './locate-weights';
import type { WeightsLocation, ModelSource, KnownSublayer } from './locate-weights';
import type {
  BlockDescription,
  ModelDescription,
  ModelFacts,
  PartDescription,
  PartKind,
  StoredTensor,
  SublayerDescription,
} from './model-description';
import { readOnnxSource } from './onnx-source';
import { findSideFiles } from './side-files';
import type { SublayerKind } from '../models/model-summary';
import { partKinds } from './model-description';
import { kindByName, parseNumbered, partByName } from './tensor-names';
import { allTensors, tensorsAsCsv } from './tensor-table';
import { writeText } from '../jobs/write-document';
import type { TensorStatistics } from './tensor-statistics';

type Reader = (place: WeightsLocation, open: OpenModel) => Promise<ModelSource>;

const readers: Readonly<Record<ModelFormat, Reader>> = {
  safetensors: readSafetensorsSource,
  gguf: readGgufSource,
  onnx: readOnnxSource,
};

/**
 * Describes a model from the headers of its files: a folder, or any of its weight files. A model
 * that cannot be run is described by the names of its tensors.
 * @throws UserError when a file is missing or damaged.
 */
export async function describeModel(
  path: string,
  open: OpenModel = openModelFiles,
): Promise<ModelDescription> {
  const place = await locateWeights(path);
  const source = await readers[place.format](place, open);
  const facts = {
    ...source.facts,
    ...configFacts(source.config),
    ...(source.tiedHead === undefined ? {} : { tiedHead: source.tiedHead }),
  };
  const { blocks, parts } = arrange(source, facts);
  const sublayers = blocks.flatMap((block) => block.sublayers);
  const totals = sumTotals(source.tensors);
  const tensorsIn = countBy(source.tensors, ({ file }) => file);
  return {
    name: source.name ?? place.name,
    path: place.path,
    format: place.format,
    family: source.family,
    understood: source.understood,
    facts,
    blocks,
    parts,
    totals: {
      ...totals,
      tensors: source.tensors.length,
      activeParameters: activeParameters(blocks, parts, facts),
      flopsPerToken: modelFlops(blocks, parts, facts),
      kvBytesPerToken: sumKnown(
        sublayers.filter(({ kind }) => kind !== 'other'),
        ({ kvBytesPerToken }) => kvBytesPerToken,
      ),
    },
    dtypes: countDtypes(source),
    composition: modelComposition(blocks, parts),
    memory: estimateMemory(totals.parameters),
    cache: estimateCache(sublayers),
    tuning: estimateFineTuning(totals.parameters, sublayers),
    graph: source.graph,
    metadata: source.metadata,
    config: flatten(source.config),
    sideFiles: await findSideFiles(place.folder),
    files: source.files.map((file) => ({ ...file, tensors: tensorsIn.get(file.path) ?? 0 })),
    warnings: source.warnings,
  };
}

/** FLOPs of the blocks and the LM head. A tied embedding is counted as the head. */
function modelFlops(
  blocks: readonly BlockDescription[],
  parts: readonly PartDescription[],
  { tiedHead, hiddenSize, vocabularySize }: ModelFacts,
): number | undefined {
  const sublayers = blocks.flatMap((block) => block.sublayers);
  const all = sumKnown([...sublayers, ...parts], ({ flopsPerToken }) => flopsPerToken);
  const hasHead = parts.some(({ part }) => part === 'head');
  const shared = tiedHead === true && !hasHead ? 2 * (hiddenSize ?? 0) * (vocabularySize ?? 0) : 0;
  return all === undefined ? undefined : all + shared;
}

function activeParameters(
  blocks: readonly BlockDescription[],
  parts: readonly PartDescription[],
  facts: ModelFacts,
): number | undefined {
  const blockFlops = sumKnown(
    blocks.flatMap((block) => block.sublayers),
    ({ kind, tensors }) =>
      sumKnown(tensors, (tensor) => {
        const share = activeShare(kind, tensor, facts);
        return share === undefined ? undefined : share * tensor.parameters;
      }),
  );
  return blockFlops === undefined ? undefined : blockFlops + sum(parts, (part) => part.parameters);
}

function countBy<T>(items: readonly T[], key: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) {
    counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  }
  return counts;
}

function countDtypes({ tensors }: ModelSource): Record<string, number> {
  const dtypes: Record<string, number> = {};
  for (const { dtype, bytes } of tensors) {
    dtypes[dtype] = (dtypes[dtype] ?? 0) + bytes;
  }
  return dtypes;
}

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

interface Arrangement {
  readonly blocks: readonly BlockDescription[];
  readonly parts: readonly PartDescription[];
}

/**
 * Assigns every tensor of a model to exactly one sublayer of a block, or to a part outside the blocks. Tensors that
 * don't belong to a known sublayer are assigned by name: `PREFIX.N.` is a block.
 */
function arrange(source: ModelSource, facts: ModelFacts): Arrangement {
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

export interface ExportStructureRequest {
  readonly model: string;
  readonly format: 'json' | 'csv';
  /** Statistics of the tensors read so far. */
  readonly statistics: Readonly<Record<string, TensorStatistics>>;
  readonly file: string;
}

/** Writes a model's structure, with the statistics that were read, to a file. */
export async function writeStructure(
  { model, format, statistics, file }: ExportStructureRequest,
  open: OpenModel,
): Promise<null> {
  const description = await describeModel(model, open);
  const known = Object.keys(statistics).length === 0 ? undefined : statistics;
  const text =
    format === 'json'
      ? `${JSON.stringify({ ...description, statistics: known }, undefined, 2)}\n`
      : tensorsAsCsv(allTensors(description), known && new Map(Object.entries(known)));
  await writeText(file, text);
  return null;
}
