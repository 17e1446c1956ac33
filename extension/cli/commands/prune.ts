import { resolve } from 'node:path';
import { formatBytes, formatCount, formatPercent } from '../../core/format';
import { applyPlan } from '../../core/export/apply-plan';
import type { OutputTarget } from '../../core/export/output-options';
import { layoutNames } from '../../core/export/layouts';
import { describeCompared } from '../../core/export/prune-result';
import { modelFormats } from '../../core/models/opened-model';
import type { OpenedModel } from '../../core/models/opened-model';
import type { PruneResult } from '../../core/export/prune-result';
import { foreseeRefusals, requireWritable, writablePrefix } from '../../core/export/writable';
import { writeDocument } from '../../core/jobs/write-document';
import type { LayerProfile } from '../../core/prune/layer-profile';
import type { Plan } from '../../core/export/plan';
import { UserError } from '../../core/user-error';
import { UsageError } from '../command';
import type { Arguments, Command, CommandContext } from '../command';
import { readNamedPlan } from '../plan-file';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { readBudget, readSearchSettings, searchOptionTypes, searchUsage } from '../search-options';
import type { Terminal } from '../terminal';
import { runProfile } from './profile';

export const prune: Command = {
  name: 'prune',
  usage: `MODEL (--plan FILE | --ratio R | --remove N) --out DIR [--format ${modelFormats.join('|')}]
    [--layout ${layoutNames.join('|')}] [--overwrite] [--json] ${runUsage}
  without a plan, as profile:
    ${searchUsage}`,
  summary: 'Write a smaller model without the removed sublayers, and check it.',
  options: {
    ...searchOptionTypes,
    ...runOptionTypes,
    plan: { type: 'string' },
    out: { type: 'string' },
    format: { type: 'string' },
    layout: { type: 'string' },
    overwrite: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  run: async (args, context) => {
    const out = args.text('out');
    if (out === undefined) {
      throw new UsageError('Say with --out where the new folder is to be.');
    }
    const format = args.choice('format', modelFormats, undefined);
    const layout = args.choice('layout', layoutNames, undefined);
    const overwrite = args.flag('overwrite');
    const form = {
      ...(format === undefined ? {} : { format }),
      ...(layout === undefined ? {} : { layout }),
    };
    const { plan, model: path, folder, profile } = await planFor(args, form, context);
    const model = await context.open(path);
    if (profile !== undefined) {
      await keepWritable(model, form, plan, planPath(out));
    }
    const result = await applyPlan(
      {
        model,
        plan,
        ...(folder === undefined ? {} : { planFolder: folder }),
        out,
        ...form,
        overwrite,
        ...readRunOptions(args),
        ...(profile === undefined ? {} : { examples: profile.calibration.source }),
      },
      context.job,
    );
    if (profile !== undefined) {
      await writeDocument(planPath(out), plan);
    }
    if (args.flag('json')) {
      context.terminal.print(JSON.stringify(result, undefined, 2));
    } else {
      printResult(context.terminal, result);
    }
  },
};

async function planFor(
  args: Arguments,
  form: Partial<OutputTarget>,
  context: CommandContext,
): Promise<{ plan: Plan; model: string; folder?: string; profile?: LayerProfile }> {
  const file = args.text('plan');
  const budget = readBudget(args);
  if ((file === undefined) === (budget === undefined)) {
    throw new UsageError('Say what to remove: either --plan FILE, or --ratio R or --remove N.');
  }
  if (file !== undefined) {
    return readNamedPlan(file, args);
  }
  const settings = readSearchSettings(args);
  const model = await context.open(args.model());
  await requireWritable(model, form, settings.granularity);
  const remark = await foreseeRefusals(model, form, settings);
  if (remark !== undefined) {
    context.terminal.note(remark);
  }
  const profile = await runProfile(args, context, undefined);
  return { plan: planOf(profile, args.model()), model: args.model(), profile };
}

function planPath(out: string): string {
  return `${resolve(out)}.plan.json`;
}

/**
 * Refuses what a search has found where it cannot be written, and keeps the rounds that can as a plan.
 * @throws UserError naming the plan.
 */
async function keepWritable(
  model: OpenedModel,
  form: Partial<OutputTarget>,
  plan: Plan,
  file: string,
): Promise<void> {
  const { count, refusal } = await writablePrefix(model, form, plan.remove);
  if (refusal === undefined) {
    return;
  }
  const rounds = count === 1 ? 'The first round' : `The first ${count} rounds`;
  const kept = `${rounds} can be written: give ${file} with --plan.`;
  if (count > 0) {
    await writeDocument(file, { ...plan, remove: plan.remove.slice(0, count) });
  }
  throw new UserError(refusal.reason, {
    file: refusal.file ?? model.path,
    ...(refusal.field === undefined ? {} : { field: refusal.field }),
    remedy: count === 0 ? refusal.remedy : `${refusal.remedy} ${kept}`,
  });
}

/** The plan that removes all rounds of a profile. */
export function planOf(profile: LayerProfile, model: string): Plan {
  const { metric, search, model: source, settings } = profile;
  return {
    format: 'espalier.plan',
    version: 1,
    model: { path: resolve(model), fingerprint: source.fingerprint },
    remove: profile.rounds.map(({ removed }) => removed),
    ...(settings.protect.length === 0 ? {} : { protect: settings.protect }),
    note: `${search.mode} search, metric ${metric}`,
  };
}

export function printResult(terminal: Terminal, result: PruneResult): void {
  const { parametersBefore, parametersAfter, bytesBefore, bytesAfter, verification } = result;
  const change = (before: number, after: number): string =>
    `${after > before ? '+' : '−'}${formatPercent(Math.abs(1 - after / before))}`;
  const experts = result.removed.filter((id) => /\.expert\.\d+$/.test(id)).length;
  const counts: [number, string][] = [
    [result.removed.length - experts, 'sublayers'],
    [experts, 'experts'],
  ];
  const { patched = [] } = result;
  const isPatchedAlone = patched.length > 0 && result.removed.length === 0;
  const amounts = counts.filter(([count], i) => count > 0 || (i === 0 && experts === 0));
  if (!isPatchedAlone) {
    terminal.print(
      `Removed ${amounts.map((amount) => amount.join(' ')).join(', ')}: ${result.removed.join(', ')}`,
    );
  }
  if (patched.length > 0) {
    terminal.print(`Patched ${patched.join(', ')}`);
  }
  terminal.print(
    `Parameters ${formatCount(parametersBefore)} → ${formatCount(parametersAfter)} (${change(parametersBefore, parametersAfter)}), ` +
      `weights ${formatBytes(bytesBefore)} → ${formatBytes(bytesAfter)} (${change(bytesBefore, bytesAfter)})`,
  );
  terminal.print(
    `Checked: the output of the written model differs by ${verification.relativeError.toExponential(1)} on ${describeCompared(verification)}`,
  );
  terminal.print(result.loadsWith);
  terminal.print(result.path);
}
