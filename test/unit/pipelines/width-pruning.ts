import { cp, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import type { Tensor } from 'onnxruntime-node';
import type { PackedWeight } from '../../../extension/core/checkpoints/lazy-tensor';
import { unattended } from '../../../extension/core/jobs/job';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import { parseRanges } from '../../../extension/core/models/width-pruning/number-ranges';
import type { PlannedWidthPruning } from '../../../extension/core/models/width-pruning/width';
import { elementsPerBlock } from '../../../extension/core/models/width-pruning/weight-cuts';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import type { PlanApplication } from '../../../extension/core/pipelines/apply-plan';
import type { PruneResult } from '../../../extension/core/pipelines/prune-result';
import { planFor } from '../../../extension/core/plans/plan';
import type { Plan } from '../../../extension/core/plans/plan';

/** Carries out a plan in a folder of its own. */
export const pruneWidthsIn =
  (root: string) =>
  async (
    source: string,
    changes: Partial<Plan>,
    out: string,
    more: Partial<PlanApplication> = {},
  ): Promise<PruneResult> => {
    const settings = { overwrite: false, device: 'cpu', memoryBytes: 1 << 28 } as const;
    const plan = planFor({ path: source }, changes);
    const model = await openModelFiles(source);
    return applyPlan({ model, plan, out: join(root, out), ...settings, ...more }, unattended);
  };

/** Makes zeros of what goes into a matrix at some of `count` places, by the scales of their groups. */
async function zeroScales(
  { matrix, isTransposed: turned }: PackedWeight,
  count: number,
  places: readonly number[],
): Promise<void> {
  const axis = turned ? 0 : 1;
  const { shape, tensor } = matrix.times?.matrix ?? matrix;
  const groups = shape[axis];
  const size = tensor.length / (shape[0] * shape[1]);
  const handle = await open(tensor.file, 'r+');
  for (const place of places) {
    for (let group = (place * groups) / count; group < ((place + 1) * groups) / count; group++) {
      for (let other = 0; Number.isInteger(group) && other < shape[turned ? 1 : 0]; other++) {
        const at = turned ? group * shape[1] + other : other * groups + group;
        await handle.write(Buffer.alloc(size), 0, size, tensor.offset + at * size);
      }
    }
  }
  await handle.close();
}

/** A copy of a model in which what writes into the stream ignores the channels and heads that a plan takes out. */
export const ignoringIn =
  (root: string) =>
  async (
    source: string,
    format: string,
    widthPruned: readonly PlannedWidthPruning[],
  ): Promise<string> => {
    const copy = join(root, `ignoring-for-${format}-${basename(source)}`);
    await cp(source, copy, { recursive: true });
    const model: LayeredModel = await openModel(copy);
    for (const { sublayer, remove } of widthPruned) {
      const index = model.summary.sublayers.findIndex(({ id }) => id === sublayer);
      const { count, output } = model.sublayer(index).width ?? { count: 0, output: undefined };
      if (output === undefined) {
        throw new Error(`${source}: ${sublayer} has no width`);
      }
      const { weight, transposed = false } = output;
      if (weight.packed !== undefined) {
        await zeroScales(weight.packed, count, parseRanges(remove) ?? []);
        continue;
      }
      const [first = 0, second = 0] = weight.shape;
      const [outputs, inputs] = transposed ? [second, first] : [first, second];
      // A quantized block whose scale is zero holds zeros.
      const block = elementsPerBlock(weight);
      const size = (weight.length / (first * second)) * block;
      const handle = await open(weight.file, 'r+');
      for (const place of parseRanges(remove) ?? []) {
        for (let i = (place * inputs) / count; i < ((place + 1) * inputs) / count; i += block) {
          for (let row = 0; row < outputs && i % block === 0; row++) {
            const element = transposed ? i * outputs + row : (row * inputs + i) / block;
            await handle.write(Buffer.alloc(size), 0, size, weight.offset + element * size);
          }
        }
      }
      await handle.close();
    }
    return copy;
  };

/** The first output of a graph on those of the feeds that it reads. */
export async function computeOutput(
  file: string,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Float32Array> {
  const session = await InferenceSession.create(file);
  const read = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
  const outputs = await session.run(Object.fromEntries(read));
  await session.release();
  return Float32Array.from(outputs[session.outputNames[0] ?? '']?.data as Float32Array);
}
