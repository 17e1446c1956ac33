import type { OutputFormat } from '../../export/output-formats';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { version } from '../../../../package.json';
import { floatsIn } from '../../runtime/tensors';
import type { Tensors } from '../../runtime/tensors';
import type { CalibrationRequest } from '../../data/calibration';
import { holdOutInputs } from '../../data/hold-out-inputs';
import { loadModelInputs } from '../../data/model-inputs';
import { makeWorkFolder, workFolder } from '../../jobs/work-folder';
import type { JobContext } from '../../jobs/job';
import { Journal } from '../../jobs/journal';
import { writeDocument } from '../../jobs/write-document';
import type { ModelSummary } from '../../models/model-summary';
import { storeTensors } from '../../models/encodings/store-encodings';
import type { SymbolicPatch } from '../../models/patch/symbolic-patch';
import { patchTensorShapes } from '../../models/patch/symbolic-patch';
import type { DeviceChoice } from '../../runtime/device';
import { resolveDevice } from '../../runtime/devices';
import { LayeredExecutor } from '../../runtime/layered-executor';
import { graphToJson } from '../../symbolic/random-graph';
import type { GraphJson } from '../../symbolic/random-graph';
import { libraryDocument } from '../../symbolic/language/library-file';
import type { Library } from '../../symbolic/language/library';
import { compete, parseFitRecord, findGraphs } from '../../symbolic/patch/compete';
import type { Standing } from '../../symbolic/patch/compete';
import { patchLoss } from '../../symbolic/patch/sublayer-states';
import type { PatchLoss } from '../../symbolic/patch/sublayer-states';
import { createContestants } from '../../symbolic/patch/contestants';
import type { PatchFitting } from '../../symbolic/patch/fit-branch';
import { checkChanges, placeholderPatches, withChanges } from '../../export/changes';
import { requireOutput } from '../../export/output-folder';
import { chooseOutput } from '../../export/output-options';
import type { PruneResult } from '../prune-result';
import type { OpenedModel } from '../../models/opened-model';
import { planFor } from '../../plans/plan';
import type { Plan } from '../../plans/plan';
import { parsePlan, requireMadeFor } from '../../plans/plan-schema';
import { writeSource } from '../../export/write-source';
import { writeModel } from '../write-model';
import type { Message } from '../../message';
import { say } from '../../message';
import { readSmallText } from '../../regular-file';

/** Sublayer to patch, texts, and output folder. */
export interface PatchRequest {
  readonly model: OpenedModel;
  readonly sublayer: string;
  /** Text to fit to, to choose by and to judge by. */
  readonly text: CalibrationRequest;
  readonly bundledText: string;
  readonly library: Library;
  /** Graphs to try, and programs to look at for them. */
  readonly limits: { readonly graphs: number; readonly programs: number };
  readonly fitting: PatchFitting;
  readonly seed: number;
  readonly out: string;
  readonly format?: OutputFormat;
  /** Write the patch though it does not beat everything else. */
  readonly anyway: boolean;
  /**
   * A plan to write, or an existing one to which the patch is added; the weights are written to a
   * file next to it.
   */
  readonly plan?: string;
  readonly overwrite: boolean;
  readonly device: DeviceChoice;
  readonly memoryBytes: number;
}

/** Result of patching; losses are measured on text that nothing was fitted to. */
export interface PatchResult<Written extends PruneResult = PruneResult> {
  readonly sublayer: string;
  /**
   * Loss that compares outputs with the original model's: KL in nats per token, or the norm of the
   * difference.
   */
  readonly loss: PatchLoss;
  /** True if the graph's loss is below those of all controls. */
  readonly accepted: boolean;
  readonly program: string;
  readonly graph: GraphJson;
  /** The graph module first, then the modules it is compared with. */
  readonly standings: readonly Standing[];
  /** Number of sequences of the texts. */
  readonly sequences: {
    readonly train: number;
    readonly validation: number;
    readonly test: number;
  };
  /** Null if the patch was not accepted; nothing is written then. */
  readonly written: Written | null;
  /** The plan, if it was requested and the patch is written. */
  readonly plan?: string;
}

/**
 * Finds a symbolic patch for a sublayer, compares it with simpler modules with the same number of parameters, and
 * writes the model with it if it is better than all of them. Resumes an earlier run of the same job.
 * @throws UserError or CancelledError; the source and an existing output are unchanged then
 */
export async function patchModel(request: PatchRequest, context: JobContext): Promise<PatchResult> {
  const { sublayer, out, seed, memoryBytes, library, limits, fitting, text } = request;
  const { model } = request.model;
  await requireOutput(out, writeSource(request.model).path, request.overwrite);
  const index = await requirePatchable(request);
  const { summary } = model;
  const warn = (message: Message): void => {
    context.warn(message);
  };
  const device = await resolveDevice(request.device, warn);
  const loaded = await loadModelInputs(text, model, request.bundledText, seed);
  loaded.warnings.forEach(warn);
  // The last texts judge, those before them choose.
  const {
    train,
    heldOut: [validation = [], test = []],
  } = holdOutInputs(
    loaded.inputs,
    2,
    'sequences-too-few',
    say`A patch needs at least three sequences: one to fit, one to choose and one to test.`,
  );
  const texts = { train, validation, test };
  const contestants = createContestants(await findGraphs(library, limits, context), seed);
  const folder = workFolder(out, 'patch');
  await makeWorkFolder(folder);
  const identity = {
    ...{ version, sublayer, seed, fitting, limits, model: summary.fingerprint },
    library: libraryDocument(library),
    text: loaded.summary.fingerprint,
  };
  const hash = createHash('sha256').update(JSON.stringify(identity)).digest('hex');
  const journal = await Journal.open(join(folder, 'journal.jsonl'), hash, parseFitRecord);
  const executor = new LayeredExecutor(model, device, memoryBytes);
  let found: Awaited<ReturnType<typeof compete>>;
  try {
    const competition = { executor, index, texts, contestants, fitting, memoryBytes };
    found = await compete(competition, journal, context);
  } finally {
    await executor.dispose();
    await journal.removeIfEmpty();
    await removeIfWithout(folder, journal.path);
  }
  const { standings, best, accepted } = found;
  const { program = '', graph } = best.contestant;
  if (graph === undefined) {
    throw new Error('the best patch has a graph');
  }
  const result = {
    ...{
      sublayer,
      loss: patchLoss(model),
      accepted,
      program,
      graph: graphToJson(graph),
      standings,
    },
    sequences: { train: train.length, validation: validation.length, test: test.length },
  };
  if (!accepted && !request.anyway) {
    await rm(folder, { recursive: true, force: true });
    return { ...result, written: null };
  }
  const patch = await storePatch(
    join(folder, 'patch.safetensors'),
    { program, graph, tensors: best.fitted.tensors },
    sublayer,
  );
  const { format, overwrite } = request;
  const written = await writeModel(
    {
      ...{
        model: request.model,
        removed: [],
        patches: new Map([[sublayer, patch]]),
        out,
        overwrite,
        device,
      },
      ...(format === undefined ? {} : { format }),
      memoryBytes,
    },
    context,
  );
  const plan =
    request.plan === undefined
      ? {}
      : { plan: await writePlan(request.plan, request.model, best.fitted.tensors, result) };
  await rm(folder, { recursive: true, force: true });
  return { ...result, written, ...plan };
}

async function removeIfWithout(folder: string, file: string): Promise<void> {
  if (!existsSync(file)) {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The weights in a file, as a patch that runs from there. */
async function storePatch(
  path: string,
  { program, graph, tensors }: SymbolicPatch<Tensors[string]>,
  sublayer: string,
): Promise<SymbolicPatch> {
  const shapes = Object.entries(patchTensorShapes(patchWidth(tensors)));
  const data = shapes.map(([name, shape]) => {
    const tensor = tensors[name];
    if (tensor === undefined) {
      throw new Error(`the patch has no tensor ${name}`);
    }
    const { buffer, byteOffset, byteLength } = floatsIn(tensor);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    return { name: `${sublayer}.${name}`, data: { dtype: 'F32' as const, shape, bytes } };
  });
  const stored = await storeTensors(path, data);
  const found = shapes.flatMap(([name]) => {
    const tensor = stored.get(`${sublayer}.${name}`);
    return tensor === undefined ? [] : [[name, tensor] as const];
  });
  return { program, graph, tensors: Object.fromEntries(found) };
}

/** k of a patch. */
const patchWidth = (tensors: Tensors): number => tensors['up.bias']?.dims[0] ?? 0;

/**
 * Writes a plan that patches the sublayer, with its weights in a file next to it. Adds the patch to
 * an existing plan and keeps everything else.
 */
async function writePlan(
  path: string,
  { summary, path: modelPath }: OpenedModel,
  tensors: Tensors,
  { sublayer, program, graph }: Pick<PatchResult, 'sublayer' | 'program' | 'graph'>,
): Promise<string> {
  const file = resolve(path);
  const known = await planToExtend(file, summary);
  const weights = `${file.replace(/(?:\.plan)?\.json$/, '')}.${sublayer}.patch.safetensors`;
  const empty = { nodes: [], edges: [], nextId: graph.next_id };
  await storePatch(weights, { program, graph: empty, tensors }, sublayer);
  const own = { sublayer, program, file: relative(dirname(file), weights).replaceAll('\\', '/') };
  const plan: Plan = {
    ...(known ?? planFor({ path: modelPath, fingerprint: summary.fingerprint }, {})),
    remove: [...new Set([...(known?.remove ?? []), sublayer])],
    patch: [...(known?.patch ?? []).filter((other) => other.sublayer !== sublayer), own],
  };
  await writeDocument(file, plan);
  return file;
}

/** @throws UserError if the plan is for another model */
async function planToExtend(file: string, summary: ModelSummary): Promise<Plan | undefined> {
  if (!existsSync(file)) {
    return undefined;
  }
  const plan = parsePlan(await readSmallText(file), file);
  requireMadeFor(plan, summary, {
    file,
    remedy: say`Specify another plan, or delete the field to add the patch anyway.`,
  });
  return plan;
}

/**
 * Checks before any work that a patch can be written; its parameters don't matter for that.
 * @returns index of the sublayer
 * @throws UserError if the sublayer doesn't exist or can't be patched, or the result couldn't be written
 */
async function requirePatchable({
  model: opened,
  sublayer,
  format,
  plan,
}: PatchRequest): Promise<number> {
  const { model, summary } = opened;
  const index = summary.sublayers.findIndex(({ id }) => id === sublayer);
  const width = index < 0 ? undefined : model.sublayer(index).patchWidth;
  const patches = placeholderPatches([sublayer], width);
  const changes = checkChanges(summary, [], undefined, patches);
  withChanges(model, changes);
  await chooseOutput(writeSource(opened), changes, { format: format ?? opened.format });
  if (plan !== undefined) {
    await planToExtend(resolve(plan), summary);
  }
  return index;
}
