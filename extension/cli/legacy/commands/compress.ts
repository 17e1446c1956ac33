import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { sensitivityCalibration } from '../../../core/data/calibration-defaults';
import { defaultDocumentPath } from '../../../core/document-names';
import { applyPlan } from '../../../core/export/apply-plan';
import type { CompressionSettings } from '../../../core/export/compression/compress-model';
import { chooseForAll } from '../../../core/export/compression/layer-choices';
import type { LayerSelection } from '../../../core/export/compression/layer-choices';
import { spreadRanks } from '../../../core/export/compression/spread-ranks';
import { calibrationFor } from '../../../core/export/compression/start-calibration';
import { layoutNames } from '../../../core/export/layouts';
import type { Plan } from '../../../core/export/plan';
import { modelFormats } from '../../../core/models/opened-model';
import type { OpenedModel } from '../../../core/models/opened-model';
import { workFolder } from '../../../core/jobs/work-folder';
import { writeDocument } from '../../../core/jobs/write-document';
import type { LayeredModel } from '../../../core/models/layered-model';
import { linearRoles } from '../../../core/models/matrix-encoding';
import { idsPort } from '../../../core/models/example';
import { planForBudget, defaultRounds } from '../../../core/tensornet/budget/plan-for-budget';
import { budgetUnits } from '../../../core/tensornet/budget/plan-under-budget';
import { parseCompression, quantizerNames } from '../../../core/tensornet/compression-choice';
import type {
  CompressionChoice,
  CompressionRequest,
} from '../../../core/tensornet/compression-choice';
import { parseSensitivityProfile } from '../../../core/tensornet/sensitivity/sensitivity-profile-schema';
import { withOuter } from '../../../core/tensornet/sensitivity/ways';
import { UserError } from '../../../core/user-error';
import { calibrationUsage, readCalibration } from '../calibration-options';
import { UsageError } from '../command';
import type { Arguments, Command, CommandContext } from '../command';
import { readBlocks, readOuter, readRoles } from '../layer-options';
import { costsFolder } from '../../../core/runtime/user-cache';
import { readNamedPlan } from '../plan-file';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { runSensitivity, sensitivityOptionTypes } from '../sensitivity-options';
import { printApplied } from '../../present/applied';

export const compress: Command = {
  name: 'compress',
  usage: `MODEL (--method METHOD [--level L|P%] | --budget RATIO | --plan FILE) --out DIR [--json] [--verbose]
    METHOD: mpo, lowrank, int8, int4, or in one word as lowrank:50%:covariance+int4
    [--variant V] [--spread-ranks] [--then ${quantizerNames.join('|')}] [--roles ${linearRoles.join(',')}] [--skip ROLES] [--blocks 0-3,7]
    [--embeddings] [--head]
    a budget: [--unit ${budgetUnits.join('|')}] [--sensitivity FILE] [--methods …] [--rounds ${defaultRounds}]
    [--no-calibration] ${calibrationUsage()}
    [--format ${modelFormats.join('|')}] [--layout ${layoutNames.join('|')}] [--overwrite]
    [--qdq] [--mpo-run contracted|chained] [--rows 1] [--dtype F32|F16] [--seed N] ${runUsage}`,
  summary: 'Write a model whose matrices take fewer bytes, and check it.',
  options: {
    ...sensitivityOptionTypes,
    ...runOptionTypes,
    budget: { type: 'string' },
    unit: { type: 'string' },
    sensitivity: { type: 'string' },
    rounds: { type: 'string' },
    method: { type: 'string' },
    level: { type: 'string' },
    variant: { type: 'string' },
    then: { type: 'string' },
    'spread-ranks': { type: 'boolean' },
    skip: { type: 'string' },
    plan: { type: 'string' },
    'no-calibration': { type: 'boolean' },
    out: { type: 'string' },
    format: { type: 'string' },
    layout: { type: 'string' },
    overwrite: { type: 'boolean' },
    qdq: { type: 'boolean' },
    'mpo-run': { type: 'string' },
    rows: { type: 'string' },
    dtype: { type: 'string' },
    json: { type: 'boolean' },
    verbose: { type: 'boolean' },
  },
  run: async (args, context) => {
    const out = args.text('out');
    if (out === undefined) {
      throw new UsageError('--out DIR is required.');
    }
    const format = args.choice('format', modelFormats, undefined);
    const layout = args.choice('layout', layoutNames, undefined);
    const { plan, model: path, folder, isNew } = await planFor(args, context);
    const model = await context.open(path);
    context.resumeHint(
      `Run the same command again to go on: layers that are done are kept in ${workFolder(out, 'compress')}.`,
    );
    const result = await applyPlan(
      {
        model,
        plan,
        ...(folder === undefined ? {} : { planFolder: folder }),
        out,
        ...(format === undefined ? {} : { format }),
        ...(layout === undefined ? {} : { layout }),
        overwrite: args.flag('overwrite'),
        ...readRunOptions(args),
        compression: readSettings(args, model.model, plan.compress ?? [], context),
      },
      context.job,
    );
    if (isNew) {
      await writeDocument(defaultDocumentPath('plan', resolve(out)), plan);
    }
    if (args.flag('json')) {
      context.terminal.print(JSON.stringify(result, undefined, 2));
    } else {
      printApplied(context.terminal, result, args.flag('verbose'));
    }
  },
};

async function planFor(
  args: Arguments,
  context: CommandContext,
): Promise<{ plan: Plan; model: string; folder?: string; isNew: boolean }> {
  const file = args.text('plan');
  const ways = [file, args.text('method'), args.text('budget')];
  if (file !== undefined && readOuter(args).length > 0) {
    throw new UsageError(
      '--embeddings and --head go with --method or --budget. A plan names their tensors.',
    );
  }
  if (ways.filter((way) => way !== undefined).length !== 1) {
    throw new UsageError(
      `Give ${ways.some((way) => way !== undefined) ? 'only one, ' : ''}either --method METHOD, or --budget RATIO, or --plan FILE.`,
    );
  }
  if (file !== undefined) {
    return { ...(await readNamedPlan(file, args)), isNew: false };
  }
  const model = await context.open(args.model());
  const changes =
    args.text('budget') === undefined
      ? await chooseByMethod(args, model.model, context)
      : await chooseByBudget(args, model, context);
  const plan: Plan = {
    format: 'espalier.plan',
    version: 1,
    model: { path: resolve(args.model()), fingerprint: model.summary.fingerprint },
    ...changes,
  };
  return { plan, model: args.model(), isNew: true };
}

type PlannedChanges = Pick<Plan, 'remove' | 'compress' | 'note'>;

async function chooseByMethod(
  args: Arguments,
  model: LayeredModel,
  context: CommandContext,
): Promise<PlannedChanges> {
  const { job } = context;
  const request = readRequest(args, args.text('method') ?? '');
  const { choices, unfit } = chooseForAll(model, request, readSelection(args));
  if (unfit.length > 0) {
    job.warn(
      `${unfit.length} layers (such as ${unfit[0]?.id ?? ''}) would not be smaller at this level${request.then === undefined ? ' and stay as they are' : ''}.`,
    );
  }
  if (!args.flag('spread-ranks')) {
    return { remove: [], compress: choices };
  }
  if (request.method !== 'lowrank') {
    throw new UsageError('--spread-ranks is for --method lowrank.');
  }
  const settings = { ...readRunOptions(args), ...readSettings(args, model, choices, context) };
  return { remove: [], compress: await spreadRanks(model, choices, settings, job) };
}

/** By a table of what each layer's compression costs, which is made first where none is given. */
async function chooseByBudget(
  args: Arguments,
  model: OpenedModel,
  context: CommandContext,
): Promise<PlannedChanges> {
  const ratio = args.number('budget') ?? 0;
  const unit = args.choice('unit', budgetUnits, 'bytes');
  const file = args.text('sensitivity');
  const table =
    file === undefined
      ? await runSensitivity(args, model, context, undefined)
      : parseSensitivityProfile(
          await readFile(file, 'utf8').catch(() => {
            throw new UserError('There is no such table.', { file });
          }),
          file,
        );
  const plan = await planForBudget(
    {
      model,
      table: withOuter(table, readOuter(args)),
      budget: { unit, ratio },
      rounds: args.number('rounds') ?? defaultRounds,
      calibration: readCalibration(args, model.summary.maxPositions, sensitivityCalibration),
      bundledText: join(context.samples, 'calibration.txt'),
      folder: `${workFolder(args.text('out') ?? '', 'compress')}-plan`,
      ...readRunOptions(args),
    },
    context.job,
  );
  const { compress: choices, remove, distance, tried } = plan;
  return {
    remove,
    compress: choices,
    note: `budget ${ratio} of ${unit}, ${table.metric} ${distance.toPrecision(4)}, best of ${tried.length} plans measured`,
  };
}

/** The compression that options describe: METHOD, --level, --variant and --then, or all in one word. */
function readRequest(args: Arguments, method: string): CompressionRequest {
  const level = args.text('level');
  const variant = args.text('variant');
  const then = args.text('then');
  const parts = [method, level, variant].filter((part) => part !== undefined).join(':');
  return parseCompression(then === undefined ? parts : `${parts}+${then}`);
}

function readSelection(args: Arguments): LayerSelection {
  const roles = readRoles(args, 'roles');
  const skip = readRoles(args, 'skip');
  const blocks = args.text('blocks');
  return {
    ...(roles === undefined ? {} : { roles }),
    ...(skip === undefined ? {} : { skip }),
    ...(blocks === undefined ? {} : { blocks: readBlocks(blocks) }),
    outer: readOuter(args),
  };
}

/** Models that read text are calibrated on the text that comes with Espalier where none is given. */
function readSettings(
  args: Arguments,
  model: LayeredModel,
  choices: readonly CompressionChoice[],
  { samples }: CommandContext,
): CompressionSettings {
  const given = args.text('calibration') ?? args.text('calibration-scores');
  const calibrates =
    !args.flag('no-calibration') && (given !== undefined || idsPort(model.inputs) !== undefined);
  const dtype = args.choice('dtype', ['F32', 'F16'], undefined);
  const mpoRun = args.choice('mpo-run', ['contracted', 'chained'], undefined);
  const rows = args.number('rows') ?? 1;
  if (!Number.isSafeInteger(rows) || rows < 1) {
    throw new UsageError(`--rows takes a whole number from 1, not ${rows}.`);
  }
  const seed = args.number('seed');
  return {
    ...(calibrates
      ? {
          calibration: {
            request: readCalibration(args, undefined, calibrationFor(model, choices)),
            bundledText: join(samples, 'calibration.txt'),
          },
        }
      : {}),
    ...(args.flag('qdq') ? { run: 'qdq' as const } : {}),
    ...(mpoRun === undefined ? { costs: { folder: costsFolder(), rows } } : { mpoRun }),
    ...(dtype === undefined ? {} : { dtype }),
    ...(seed === undefined ? {} : { seed }),
  };
}
