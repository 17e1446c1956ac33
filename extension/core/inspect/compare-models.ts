import type { JobContext } from '../jobs/job';
import type { OpenModel } from '../models/model-cache';
import { openModelFiles } from '../models/open-model';
import { toSourceId } from '../models/units';
import type { BlockNumbers } from '../models/units';
import { compareWeights } from './compare-weights';
import type { TensorPair } from './compare-weights';
import { describeModel } from './describe-model';
import type {
  CompareRequest,
  ComparedModel,
  FormDifference,
  ModelComparison,
  ValueDifference,
} from './model-comparison';
import type { ModelDescription, StoredTensor } from './model-description';
import { allTensors } from './tensor-table';

/**
 * Describes the differences between two models. Tensors are matched by name, or by their names in
 * the Hugging Face folder if the models have different formats.
 * @throws UserError when one cannot be opened, CancelledError.
 */
export async function compareModels(
  request: CompareRequest,
  context: JobContext,
  open: OpenModel = openModelFiles,
): Promise<ModelComparison> {
  const model = await describeModel(request.model, open);
  const against = await describeModel(request.against, open);
  const asInFolder = model.format !== against.format;
  const { numbers = {} } = request;
  const ours = byName(model, asInFolder, numbers.model);
  const theirs = byName(against, asInFolder, numbers.against);
  const pairs = [...ours].flatMap(([name, tensor]): TensorPair[] => {
    const other = theirs.get(name);
    return other === undefined ? [] : [{ name, ours: tensor, theirs: other }];
  });
  const forms = pairs.flatMap(formDifference);
  return {
    model: summarize(model),
    against: summarize(against),
    config: differences(model.config, against.config),
    metadata: differences(model.metadata, against.metadata),
    sublayers: lacking(sublayerIds(model, numbers.model), sublayerIds(against, numbers.against)),
    tensors: lacking([...ours.keys()], [...theirs.keys()]),
    forms,
    sameForm: pairs.length - forms.length,
    weights: request.weights ? await compareWeights(pairs, asInFolder, context) : undefined,
  };
}

function summarize({
  name,
  path,
  format,
  family,
  totals,
  blocks,
}: ModelDescription): ComparedModel {
  const { parameters, bytes, tensors } = totals;
  return { name, path, format, family, parameters, bytes, tensors, blocks: blocks.length };
}

function byName(
  model: ModelDescription,
  asInFolder: boolean,
  numbers: BlockNumbers | undefined,
): Map<string, StoredTensor> {
  return new Map(
    allTensors(model).map(({ place, tensor }) => {
      const name = (asInFolder ? tensor.folderTensor?.name : undefined) ?? tensor.name;
      // Pruned graphs keep their names.
      const keeps = numbers === undefined || model.format === 'onnx';
      return [keeps ? name : renumbered(name, place, numbers), tensor];
    }),
  );
}

/** The name that a block's tensor has under the number of that block in the source. */
function renumbered(name: string, place: string, numbers: BlockNumbers): string {
  const [, block] = /^block\.(\d+)\./.exec(place) ?? [];
  return block === undefined
    ? name
    : name.replace(
        new RegExp(`(?<=^|\\.)${block}(?=\\.)`),
        String(numbers[Number(block)] ?? block),
      );
}

function sublayerIds({ blocks }: ModelDescription, numbers: BlockNumbers = []): string[] {
  return blocks.flatMap(({ sublayers }) => sublayers.map(({ id }) => toSourceId(id, numbers)));
}

/** Entries that only one of two lists contains. */
function lacking(
  model: readonly string[],
  against: readonly string[],
): { model: string[]; against: string[] } {
  const [ours, theirs] = [new Set(model), new Set(against)];
  return {
    model: model.filter((name) => !theirs.has(name)),
    against: against.filter((name) => !ours.has(name)),
  };
}

function differences(
  model: Readonly<Record<string, string>>,
  against: Readonly<Record<string, string>>,
): ValueDifference[] {
  const fields = new Set([...Object.keys(model), ...Object.keys(against)]);
  return [...fields]
    .filter((field) => model[field] !== against[field])
    .map((field) => ({ field, model: model[field], against: against[field] }));
}

function formDifference({ name, ours, theirs }: TensorPair): FormDifference[] {
  const form = ({ dtype, shape }: StoredTensor) => ({ dtype, shape });
  return ours.dtype === theirs.dtype && hasSameShape(ours, theirs)
    ? []
    : [{ name, model: form(ours), against: form(theirs) }];
}

function hasSameShape(a: StoredTensor, b: StoredTensor): boolean {
  return a.shape.join() === b.shape.join();
}
