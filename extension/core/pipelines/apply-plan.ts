import type { OutputFormat } from '../export/output-formats';
import type { JobContext } from '../jobs/job';
import { workFolder, makeWorkFolder } from '../jobs/work-folder';
import { readWidthPruning, pruneWidth } from '../models/width-pruning/prune-width';
import { withoutInputs } from '../export/gguf/input-sums';
import { readRemoval } from './patching/planned-patches';
import type { Plan } from '../plans/plan';
import { requireMadeFor } from '../plans/plan-schema';
import type { DeviceChoice } from '../runtime/device';
import { resolveDevice } from '../runtime/devices';
import { requireMemory } from '../runtime/memory-shares';
import { compressModel } from './compression/compress-model';
import type { CompressionSettings, CompressResult } from './compression/compress-model';
import type { GgufTypes } from '../export/gguf/choose-types';
import type { LayoutName } from '../export/hugging-face/layouts';
import type { PruneResult } from './prune-result';
import type { OpenedModel } from '../models/opened-model';
import { UserError } from '../user-error';
import type { RoundingCalibration } from './compression/start-calibration';
import { writeModel } from './write-model';
import { say } from '../message';
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Plan to apply, and the output. */
export interface PlanApplication {
  readonly model: OpenedModel;
  readonly plan: Plan;
  /** The folder that files of the plan are relative to; the working directory when absent. */
  readonly planFolder?: string;
  readonly out: string;
  /** Output format; by default that of the model. */
  readonly format?: OutputFormat;
  readonly layout?: LayoutName;
  /** Quantization types of the tensors of a GGUF file, in addition to those in the plan. */
  readonly types?: GgufTypes;
  /** Rounds matrices by error feedback, calibrated with this. */
  readonly feedback?: RoundingCalibration;
  readonly overwrite: boolean;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
  /** Calibration of the profile; if it has examples, the result is checked on them. */
  readonly examples?: string;
  /** Compression settings that the plan doesn't contain. */
  readonly compression?: CompressionSettings;
}

/**
 * Uses a model without the channels and groups that a plan removes from its sublayers.
 * @param folder for the pruned tensors, removed at the end; a temporary one when undefined
 * @throws UserError for sublayers that can't be width-pruned this way or are removed as well.
 */
export async function withPrunedWidths<T>(
  model: OpenedModel,
  plan: Pick<Plan, 'widths' | 'remove' | 'patch'>,
  folder: string | undefined,
  use: (widthPruned: OpenedModel) => Promise<T>,
): Promise<T> {
  const widthPruning = readWidthPruning(model, plan);
  if (widthPruning.size === 0) {
    return use(model);
  }
  const place = folder ?? join(tmpdir(), `espalier-widths-${randomUUID()}`);
  await makeWorkFolder(place);
  try {
    return await use(await pruneWidth(model, widthPruning, join(place, 'widths.safetensors')));
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/**
 * Writes the model that a plan describes and verifies it.
 * @throws UserError if the plan is for another model, or nothing was written
 */
export async function applyPlan(
  application: PlanApplication,
  context: JobContext,
): Promise<PruneResult | CompressResult> {
  const { model, plan, out } = application;
  requireMadeFor(plan, model.summary, {
    remedy: say`Profile this model again, or delete the field to apply the plan anyway.`,
  });
  // Other devices need no less.
  requireMemory(model.model, application.memoryBytes, 'cpu');
  const { importance } = application.types ?? {};
  const types =
    importance === undefined
      ? application.types
      : {
          ...application.types,
          importance: withoutInputs(importance, model, readWidthPruning(model, plan)),
        };
  return withPrunedWidths(model, plan, workFolder(out, 'widths'), async (widthPruned) =>
    carryOut(
      { ...application, model: widthPruned, ...(types === undefined ? {} : { types }) },
      context,
    ),
  );
}

async function carryOut(
  application: PlanApplication,
  context: JobContext,
): Promise<PruneResult | CompressResult> {
  const { model, plan, out, format, overwrite, memoryBytes } = application;
  const folder = application.planFolder ?? '';
  const { removed, patches } = await readRemoval(plan, model.model, folder, 'remove');
  const how = {
    model,
    removed,
    ...(patches.size === 0 ? {} : { patches }),
    out,
    ...(format === undefined ? {} : { format }),
    ...(application.layout === undefined ? {} : { layout: application.layout }),
    overwrite,
    memoryBytes,
  };
  const { device, compression, examples, feedback } = application;
  const choices = plan.compress ?? [];
  const types = requestedTypes(plan, application);
  if (
    plan.byImportance === true &&
    types?.importance === undefined &&
    application.feedback === undefined
  ) {
    context.warn(
      say`The plan was measured with rounding by importance, but there is no importance matrix, so the result can be further from the original than planned. Add --imatrix; espalier imatrix measures one.`,
    );
  }
  return choices.length > 0
    ? compressModel({ ...how, choices, device, ...compression }, context)
    : writeModel(
        {
          ...how,
          ...(types === undefined ? {} : { types }),
          ...(feedback === undefined ? {} : { feedback }),
          device: await resolveDevice(device, (message) => {
            context.warn(message);
          }),
          ...(examples === undefined ? {} : { examples }),
        },
        context,
      );
}

/**
 * Quantization types of a request, merged with the plan's types for single tensors.
 * @throws UserError if an importance matrix has no effect because no types are set, or if the plan compresses layers
 */
function requestedTypes(
  { types = {}, compress = [] }: Plan,
  { types: asked, feedback }: Pick<PlanApplication, 'types' | 'feedback'>,
): GgufTypes | undefined {
  const tensors = Object.keys(types).length === 0 ? undefined : types;
  if (compress.length > 0 && (asked ?? tensors ?? feedback) !== undefined) {
    const plannedTypes = tensors === undefined ? undefined : 'types';
    throw new UserError(
      'plan-mixes-types',
      say`A plan can't both compress layers and assign quantization types.`,
      {
        field:
          plannedTypes ??
          (asked?.mix !== undefined ? 'type' : asked === undefined ? 'rounding' : 'imatrix'),
        remedy: say`Apply the plan first, then convert the result to GGUF.`,
      },
    );
  }
  if (asked?.importance !== undefined && asked.mix === undefined && tensors === undefined) {
    throw new UserError(
      'flag-without-effect',
      say`An importance matrix has no effect unless a tensor changes type.`,
      { field: 'imatrix', remedy: say`Add --type, such as Q4_K_M.` },
    );
  }
  if (feedback !== undefined && asked?.mix === undefined && tensors === undefined) {
    throw new UserError(
      'flag-without-effect',
      say`Rounding has no effect unless a tensor changes type.`,
      { field: 'rounding', remedy: say`Add --type, such as Q4_K_M.` },
    );
  }
  return tensors === undefined ? asked : { ...asked, tensors };
}
