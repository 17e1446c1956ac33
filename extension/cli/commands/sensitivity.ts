import { join } from 'node:path';
import { formatPercent } from '../../core/format';
import { metricNames } from '../../core/metrics/metric-names';
import { linearRoles } from '../../core/models/matrix-form';
import type { LinearRole } from '../../core/models/matrix-form';
import type { ModelSummary } from '../../core/models/model-summary';
import { openModel } from '../../core/models/open-model';
import { methodNames, parseCompression } from '../../core/tensornet/compression-choice';
import type { MethodName } from '../../core/tensornet/compression-choice';
import { findingsOf, nearestToHalf } from '../../core/tensornet/sensitivity/findings';
import type { GroupSensitivity } from '../../core/tensornet/sensitivity/findings';
import { profileSensitivity } from '../../core/tensornet/sensitivity/profile-sensitivity';
import type {
  SensitivitySettings,
  SensitivityTable,
} from '../../core/tensornet/sensitivity/sensitivity-table';
import { calibrationOptionTypes, calibrationUsage, readCalibration } from '../calibration-options';
import { UsageError } from '../command';
import type { Arguments, Command, CommandContext, OptionTypes } from '../command';
import { printGrid } from '../heatmap';
import type { HeatmapCell } from '../heatmap';
import { defaultSensitivityPath, journalPath } from '../paths';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';

/** Each layer is measured many times, so less text than a search takes. */
const usualCalibration = { sequences: 4, length: 128 };

const sensitivityOptionTypes: OptionTypes = {
  ...calibrationOptionTypes,
  methods: { type: 'string' },
  metric: { type: 'string' },
  roles: { type: 'string' },
  blocks: { type: 'string' },
  seed: { type: 'string' },
};

const sensitivityUsage = [
  `[--methods ${methodNames.join(',')} or METHOD:LEVEL, METHOD:PERCENT%, …]`,
  `[--roles ${linearRoles.join(',')}] [--blocks 0-3,7]`,
  calibrationUsage(usualCalibration),
  `[--metric ${metricNames.join('|')}] [--seed N]`,
].join('\n    ');

export const sensitivity: Command = {
  name: 'sensitivity',
  usage: `MODEL ${sensitivityUsage}\n    ${runUsage} [--out FILE] [--json]`,
  summary: 'Measure what compressing each linear layer alone costs, by method and level.',
  options: {
    ...sensitivityOptionTypes,
    ...runOptionTypes,
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, context) => {
    const { summary } = await openModel(args.model());
    const json = args.flag('json');
    const out = args.text('out') ?? (json ? undefined : defaultSensitivityPath(summary));
    const table = await runSensitivity(args, summary, context, out);
    if (json) {
      context.terminal.print(JSON.stringify(table, undefined, 2));
    } else {
      printTableOf(table, context);
    }
    if (out !== undefined) {
      context.terminal.note(`Sensitivity table: ${out}`);
    }
  },
};

async function runSensitivity(
  args: Arguments,
  summary: ModelSummary,
  { job, samples, version, resumeHint }: CommandContext,
  out: string | undefined,
): Promise<SensitivityTable> {
  const journal = await journalPath(out, summary);
  resumeHint(`Run the same command again to go on: what is done is kept in ${journal}.`);
  return profileSensitivity(
    {
      model: args.model(),
      calibration: readCalibration(args, summary.maxPositions, usualCalibration),
      settings: readSettings(args),
      ...readRunOptions(args),
      out,
      journal,
    },
    { bundledText: join(samples, 'calibration.txt'), version },
    job,
  );
}

function readSettings(args: Arguments): SensitivitySettings {
  const methods = args.text('methods')?.split(',') ?? methodNames;
  return {
    compressions: methods.map(parseCompression),
    metric: args.choice('metric', metricNames, 'js'),
    roles: (args.text('roles')?.split(',') ?? []).map(readRole),
    blocks: readBlocks(args.text('blocks')),
    seed: args.number('seed') ?? 0,
  };
}

function readRole(text: string): LinearRole {
  const role = linearRoles.find((one) => one === text.trim());
  if (role === undefined) {
    throw new UsageError(`--roles takes some of ${linearRoles.join(', ')}, not "${text}".`);
  }
  return role;
}

/** `0-3,7`: 0, 1, 2, 3 and 7. */
export function readBlocks(text: string | undefined): number[] {
  if (text === undefined) {
    return [];
  }
  return text.split(',').flatMap((part) => {
    const [, first, last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first)) {
      throw new UsageError(`--blocks takes numbers such as 0-3,7, not "${part}".`);
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
}

/** A heatmap for each method, and what the paper says beside what this model shows. */
function printTableOf(table: SensitivityTable, { terminal }: CommandContext): void {
  const { model, calibration, layers, metricDefinition, seconds, device } = table;
  const { sequences, length } = calibration;
  terminal.print(
    `${model.name} · ${layers.length} linear layers · ${sequences} × ${length} tokens · ${metricDefinition}`,
  );
  const blocks = [...new Set(layers.map(({ block }) => block))];
  for (const finding of findingsOf(table)) {
    terminal.print();
    terminal.print(`${finding.method}, at the level nearest to half of a layer's bytes`);
    printGrid(terminal, blocks, cellsOf(table, finding.method), 'distance if compressed alone');
    printGroups(finding.byDepth, 'blocks', 'the paper: early blocks are sensitive', terminal);
    printGroups(finding.byRole, 'layers', 'the paper: leave down projections alone', terminal);
  }
  terminal.print();
  terminal.print(
    `${seconds.toFixed(1)} s on ${device}, ${table.sublayerEvaluations} sublayer evaluations`,
  );
}

function cellsOf(
  { layers, dense }: SensitivityTable,
  method: MethodName,
): Map<string, Map<number, HeatmapCell>> {
  const rows = new Map<string, Map<number, HeatmapCell>>();
  for (const layer of layers) {
    const entry = nearestToHalf(layer, method);
    const cells = rows.get(layer.role) ?? new Map<number, HeatmapCell>();
    cells.set(layer.block, {
      value: entry === undefined ? null : entry.distance - dense,
      text: '',
    });
    rows.set(layer.role, cells);
  }
  return rows;
}

function printGroups(
  groups: readonly GroupSensitivity<string>[],
  what: string,
  paper: string,
  terminal: CommandContext['terminal'],
): void {
  const most = Math.max(...groups.map(({ distance }) => distance));
  const parts = groups.map(
    ({ group, distance }) =>
      `${group} ${distance.toPrecision(2)} (${formatPercent(most > 0 ? distance / most : 0)})`,
  );
  terminal.print(`  ${what}: ${parts.join(', ')}; ${paper}`);
}
