import { foreseeRefusals } from '../../core/export/writable';
import { formatPercent } from '../../core/format';
import type { LayerProfile } from '../../core/prune/layer-profile';
import { profileModel } from '../../core/prune/profile-model';
import { join } from 'node:path';
import type { Arguments, Command, CommandContext } from '../command';
import { readCalibration } from '../calibration-options';
import { printHeatmap } from '../heatmap';
import { defaultProfilePath, journalPath } from '../paths';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { readSearchSettings, searchOptionTypes, searchUsage } from '../search-options';
import { printTable } from '../table';

export const profile: Command = {
  name: 'profile',
  usage: `MODEL ${searchUsage}\n    ${runUsage} [--out FILE] [--json]`,
  summary: 'Measure what every sublayer is worth, and the best order to remove them in.',
  options: {
    ...searchOptionTypes,
    ...runOptionTypes,
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, context) => {
    const model = await context.open(args.model());
    const { summary } = model;
    const json = args.flag('json');
    const out = args.text('out') ?? (json ? undefined : defaultProfilePath(summary));
    const remark = await foreseeRefusals(model, {}, readSearchSettings(args));
    if (remark !== undefined) {
      context.terminal.note(remark);
    }
    const result = await runProfile(args, context, out);
    if (json) {
      context.terminal.print(JSON.stringify(result, undefined, 2));
    } else {
      printProfile(result, context);
    }
    if (out !== undefined) {
      context.terminal.note(`Profile: ${out}`);
    }
  },
};

/** Profiles the model that the arguments name. */
export async function runProfile(
  args: Arguments,
  { job, samples, version, resumeHint, open }: CommandContext,
  out: string | undefined,
): Promise<LayerProfile> {
  const model = await open(args.model());
  const { summary } = model;
  const journal = await journalPath(out, summary);
  resumeHint(`Run the same command again to go on: what is done is kept in ${journal}.`);
  return profileModel(
    {
      model,
      calibration: readCalibration(args, summary.maxPositions),
      settings: readSearchSettings(args),
      ...readRunOptions(args),
      out,
      journal,
    },
    { bundledText: join(samples, 'calibration.txt'), version },
    job,
  );
}

/** Shows heatmap, rounds and cost. */
export function printProfile(result: LayerProfile, { terminal }: CommandContext): void {
  const { search, metricDefinition, rounds, baselines, calibration, model } = result;
  terminal.print(`${model.name} · ${describeCalibration(calibration)}`);
  terminal.print(metricDefinition);
  terminal.print();
  printHeatmap(terminal, result);
  terminal.print();
  const columns = Object.entries(baselines);
  printTable(
    terminal,
    ['round', 'removed', 'distance', ...columns.map(([name]) => name)],
    rounds.map(({ removed, distance }, i) => [
      String(i + 1).padStart(5),
      removed,
      formatDistance(distance),
      ...columns.map(([, rows]) => formatDistance(rows[i]?.distance)),
    ]),
  );
  const share = search.sublayerEvaluations / search.naiveSublayerEvaluations;
  terminal.print(
    `${search.mode} search on ${search.device}: ${search.seconds.toFixed(1)} s, ` +
      `${search.sublayerEvaluations} sublayer evaluations, ${formatPercent(share)} of the naive search's`,
  );
}

/** Images and the like have no length. */
function describeCalibration({ sequences, length, source }: LayerProfile['calibration']): string {
  return length === 1 ? `${sequences} examples, ${source}` : `${sequences} × ${length} tokens`;
}

function formatDistance(distance: number | null | undefined): string {
  return distance === null || distance === undefined ? '–' : distance.toPrecision(3);
}
