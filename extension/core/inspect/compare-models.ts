import type { JobContext } from '../jobs/job';
import type { OpenModel } from '../models/model-cache';
import { openModelFiles } from '../models/open-model';
import { toSourceId } from '../models/units';
import type { BlockNumbers } from '../models/units';
import { describeModel } from './describe-model';
import type {
  CompareRequest,
  ComparedModel,
  FormDifference,
  ModelComparison,
  ValueDifference,
  WeightComparison,
  WeightDifference,
} from './model-comparison';
import type { ModelDescription, StoredTensor } from './model-description';
import { allTensors } from './tensor-table';
import type { HeadGroups } from '../models/gguf/gguf-model';
import { TensorReader, explainUnreadable } from './tensor-values';
import type { RowOrder } from './tensor-values';
import { sum } from './costs';
import { say } from '../message';
import type { Message } from '../message';

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

/** A tensor that two models have. */
interface TensorPair {
  /** Name in both models. */
  readonly name: string;
  readonly ours: StoredTensor;
  readonly theirs: StoredTensor;
}

/**
 * Compares the values of tensors part by part, regardless of their types.
 * @param asInFolder true to compare them as stored in the model's Hugging Face folder, because the
 * two models have different formats
 */
async function compareWeights(
  pairs: readonly TensorPair[],
  asInFolder: boolean,
  context: JobContext,
): Promise<WeightComparison> {
  const skipped: { name: string; reason: Message }[] = [];
  const comparable = pairs.filter(({ name, ours, theirs }) => {
    const reason = explainNotComparable(ours, theirs);
    if (reason !== undefined) {
      skipped.push({ name, reason });
    }
    return reason === undefined;
  });
  const total = sum(comparable, ({ ours, theirs }) => ours.bytes + theirs.bytes);
  const tensors: WeightDifference[] = [];
  let done = 0;
  let equal = 0;
  for (const pair of comparable) {
    const { name, ours, theirs } = pair;
    context.progress({ stage: say`Comparing ${name}`, done, total, unit: 'bytes' });
    const difference = await compareTensors(pair, asInFolder, context.cancellation);
    tensors.push(difference.values);
    equal += difference.areEqual ? 1 : 0;
    done += ours.bytes + theirs.bytes;
  }
  context.progress({ stage: say`Compared`, done, total, unit: 'bytes' });
  return { tensors, equal, skipped };
}

function explainNotComparable(ours: StoredTensor, theirs: StoredTensor): Message | undefined {
  return ours.shape.join() === theirs.shape.join()
    ? (explainUnreadable(ours) ?? explainUnreadable(theirs))
    : say`The shapes differ.`;
}

async function compareTensors(
  { name, ours, theirs }: TensorPair,
  asInFolder: boolean,
  cancellation: JobContext['cancellation'],
): Promise<{ values: WeightDifference; areEqual: boolean }> {
  const sums = new Products();
  const rowOrder = (tensor: StoredTensor): RowOrder | undefined =>
    asInFolder ? folderRows(tensor) : undefined;
  const offset = asInFolder
    ? (ours.folderTensor?.offset ?? 0) - (theirs.folderTensor?.offset ?? 0)
    : 0;
  await TensorReader.open(
    ours,
    cancellation,
    async (left) =>
      TensorReader.open(
        theirs,
        cancellation,
        async (right) => {
          // Both return parts with the same number of elements.
          const others = right.chunks();
          for await (const values of left.chunks()) {
            const other = await others.next();
            sums.add(values, other.done === true ? new Float64Array() : other.value, offset);
          }
        },
        rowOrder(theirs),
      ),
    rowOrder(ours),
  );
  return { values: { name, ...sums.result() }, areEqual: sums.areEqual };
}

/**
 * Rows of queries and keys in GGUF files, [heads, half, 2], in the order of folders, [heads, 2, half]; or of all queries,
 * all keys and all values in that of folders that have them group by group.
 */
function folderRows({
  shape: [rows = 0],
  folderTensor: inFolder,
}: StoredTensor): RowOrder | undefined {
  const { interleavedHeads: heads, groups } = inFolder ?? {};
  if (groups !== undefined) {
    return rowsByGroup(rows, groups);
  }
  if (heads === undefined) {
    return undefined;
  }
  const size = rows / heads;
  const half = size / 2;
  return (row) => {
    const [head, within] = [Math.floor(row / size), row % size];
    return head * size + (within % half) * 2 + Math.floor(within / half);
  };
}

function rowsByGroup(rows: number, { queries, count }: HeadGroups): RowOrder {
  const size = rows / (queries + 2 * count);
  const perGroup = queries / count;
  return (row) => {
    const [head, within] = [Math.floor(row / size), row % size];
    const [group, place] = [Math.floor(head / (perGroup + 2)), head % (perGroup + 2)];
    const own =
      place < perGroup ? group * perGroup + place : queries + (place - perGroup) * count + group;
    return own * size + within;
  };
}

/** Dot products of two tensors' values. */
class Products {
  public areEqual = true;
  #maxAbsolute = 0;
  #ours = 0;
  #theirs = 0;
  #product = 0;
  #difference = 0;

  /** @param offset amount by which the stored values of `ours` exceed the weights */
  public add(ours: Float64Array, theirs: Float64Array, offset: number): void {
    let [max, aa, bb, ab, dd] = [this.#maxAbsolute, 0, 0, 0, 0];
    for (let i = 0; i < ours.length; i++) {
      const a = (ours[i] ?? Number.NaN) - offset;
      const b = theirs[i] ?? Number.NaN;
      // Equal infinities are no difference; NaN, which compares with nothing, stays.
      const difference = a === b ? 0 : Math.abs(a - b);
      max = difference > max || Number.isNaN(difference) ? difference : max;
      aa += a * a;
      bb += b * b;
      ab += a * b;
      dd += difference * difference;
      this.areEqual &&= a === b || Object.is(a, b);
    }
    this.#maxAbsolute = max;
    this.#ours += aa;
    this.#theirs += bb;
    this.#product += ab;
    this.#difference += dd;
  }

  public result(): Omit<WeightDifference, 'name'> {
    const norms = Math.sqrt(this.#ours) * Math.sqrt(this.#theirs);
    const relative =
      this.#difference === 0 ? 0 : Math.sqrt(this.#difference) / Math.sqrt(this.#ours);
    return {
      maxAbsolute: finite(this.#maxAbsolute),
      relativeFrobenius: finite(relative),
      cosine: finite(Math.min(1, Math.max(-1, this.#product / norms))),
    };
  }
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}
