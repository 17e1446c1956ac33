import { glossary } from '../../core/glossary';
import { formatBytes, formatPercent } from '../../core/format';
import { counted } from '../counted';
import { sensitivityHeatmap } from '../../core/report/contents/of-sensitivity';
import { formatCompression } from '../../core/tensornet/compression-choice';
import { summarizeFindings } from '../../core/tensornet/sensitivity/findings';
import type { GroupSensitivity } from '../../core/tensornet/sensitivity/findings';
import type { SensitivityProfile } from '../../core/tensornet/sensitivity/sensitivity-profile';
import { printHeatmap } from '../heatmap';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';

export const sensitivity: Presenter<SensitivityProfile> = {
  terms: {
    distance: glossary.layerDistance,
    setting: glossary.setting,
  },
  options: {},
  print: (result, { terminal, request }) => {
    printSensitivity(result, terminal);
    terminal.note(`Sensitivity profile: ${String(request['out'])}`);
  },
};

/** Prints a heatmap for each method, and compares the paper's findings with this model's. */
function printSensitivity(table: SensitivityProfile, terminal: Terminal): void {
  const { model, calibration, layers, metricDefinition, seconds, device } = table;
  const { sequences, length } = calibration;
  terminal.print(
    `${model.name} · ${layers.length} linear layers · ${sequences} × ${counted(length, 'token')} · ${metricDefinition}`,
  );
  for (const finding of summarizeFindings(table)) {
    terminal.print();
    terminal.print(finding.method);
    printHeatmap(terminal, sensitivityHeatmap(table, finding.method));
    printGroups(finding.byDepth, 'blocks', 'the paper: early blocks are sensitive', terminal);
    printGroups(finding.byRole, 'layers', 'the paper: leave down projections alone', terminal);
  }
  printEmbeddingAndHead(table, terminal);
  printWidths(table, terminal);
  terminal.print();
  terminal.print(
    `${seconds.toFixed(1)} s on ${device}, ${table.sublayerEvaluations} sublayer evaluations`,
  );
}

/** Embedding and head, each with what its ways cost. */
function printEmbeddingAndHead(
  { embeddingAndHead = [], original }: SensitivityProfile,
  terminal: Terminal,
): void {
  if (embeddingAndHead.length === 0) {
    return;
  }
  terminal.print();
  printTable(
    terminal,
    ['outside the blocks', 'method', 'distance', 'bytes', 'left'],
    embeddingAndHead.flatMap(({ tensor, place, tiedTo, bytes, entries }) =>
      entries.map(({ method, setting, distance, bytes: left }) => [
        `${tiedTo === undefined ? place : 'embedding and head'} ${tensor}`,
        formatCompression({ method, setting }),
        (distance - original).toPrecision(3),
        formatBytes(left),
        formatPercent(left / bytes),
      ]),
    ),
  );
}

/** Units of width pruning, in words. */
const widthNames = { channels: 'channels', groups: 'key/value heads', experts: 'experts' } as const;

/** Prints the sublayers whose width can be pruned, with the distance at each width. */
function printWidths({ widths = [], original }: SensitivityProfile, terminal: Terminal): void {
  if (widths.length === 0) {
    return;
  }
  terminal.print();
  printTable(
    terminal,
    ['width-pruned alone', 'left', 'of', 'distance'],
    widths.flatMap(({ sublayer, of, count, entries }) =>
      entries.map(({ kept, distance }) => [
        sublayer,
        formatPercent(kept / count),
        `${count} ${widthNames[of]}`,
        (distance - original).toPrecision(3),
      ]),
    ),
  );
}

function printGroups(
  groups: readonly GroupSensitivity<string>[],
  what: string,
  paper: string,
  terminal: Terminal,
): void {
  const most = Math.max(...groups.map(({ distance }) => distance));
  const parts = groups.map(
    ({ group, distance }) =>
      `${group} ${distance.toPrecision(2)} (${formatPercent(most > 0 ? distance / most : 0)})`,
  );
  terminal.print(`  ${what}: ${parts.join(', ')}; ${paper}`);
}
