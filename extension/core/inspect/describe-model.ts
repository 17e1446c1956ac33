import type { OpenModel } from '../models/model-cache';
import { openModelFiles } from '../models/open-model';
import type { ModelFormat } from '../models/model-headers';
import { arrange } from './blocks';
import { readGgufSource, readSafetensorsSource } from './checkpoint-source';
import { configFacts, flatten } from './config-facts';
import { activeShare, sum, sumKnown, sumTotals } from './costs';
import { estimateCache, modelComposition, estimateMemory, estimateFineTuning } from './footprint';
import { locateWeights } from './locate-weights';
import type { WeightsLocation } from './locate-weights';
import type {
  BlockDescription,
  ModelDescription,
  ModelFacts,
  PartDescription,
} from './model-description';
import type { ModelSource } from './model-source';
import { readOnnxSource } from './onnx-source';
import { findSideFiles } from './side-files';

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
