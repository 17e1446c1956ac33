import {
  formatBytes,
  formatCount,
  formatDistance,
  formatDuration,
  formatError,
  formatPercent,
} from '../../format';
import { settingType } from '../../tensornet/compression-choice';
import type { MethodName } from '../../tensornet/compression-choice';
import { summarizeFindings, nearestToHalf } from '../../tensornet/sensitivity/findings';
import type {
  SensitivityEntry,
  SensitivityProfile,
} from '../../tensornet/sensitivity/sensitivity-profile';
import { schemeName } from '../../tensornet/sensitivity/schemes';
import type { Heatmap, HeatmapCell, Report, Section } from '../report';
import { describeOrigin, numbers } from '../report';

export function sensitivityReport(profile: SensitivityProfile): Report {
  const { model, calibration, metric, metricDefinition, layers, seconds, device } = profile;
  return {
    title: `Sensitivity profile of ${model.name}`,
    facts: [
      { name: 'Architecture', value: model.architecture },
      { name: 'Parameters', value: formatCount(model.parameters) },
      { name: 'Linear layers', value: String(layers.length) },
      { name: 'Calibration', value: `${calibration.sequences} × ${calibration.length} tokens` },
      { name: 'Distance', value: `${metric}: ${metricDefinition}` },
      { name: 'Measured', value: `${formatDuration(seconds)} on ${device}` },
    ],
    sections: [
      settingsSection(profile),
      ...summarizeFindings(profile).map(({ method }) => ({
        title: `Layers compressed by ${method}`,
        figure: sensitivityHeatmap(profile, method),
      })),
    ],
    origin: describeOrigin(profile),
  };
}

/** Heatmap of mean distances of a method by block and role, at the setting that leaves about half of a layer's bytes. */
export function sensitivityHeatmap(
  { layers, original }: Pick<SensitivityProfile, 'layers' | 'original'>,
  method: MethodName,
): Heatmap {
  // With experts, a block has several layers per role.
  const lines = new Map<string, Map<number, number[]>>();
  for (const layer of layers) {
    const entry = nearestToHalf(layer, method);
    const cells = lines.get(layer.role) ?? new Map<number, number[]>();
    const distances = entry === undefined ? [] : [entry.distance - original];
    cells.set(layer.block, [...(cells.get(layer.block) ?? []), ...distances]);
    lines.set(layer.role, cells);
  }
  const meanCell = (distances: readonly number[]): HeatmapCell => {
    const sum = distances.reduce((total, one) => total + one, 0);
    return { value: distances.length === 0 ? null : sum / distances.length, text: '' };
  };
  return {
    kind: 'heatmap',
    caption: 'distance if compressed alone, at the setting nearest to half of a layer’s bytes',
    blocks: [...new Set(layers.map(({ block }) => block))],
    lines: [...lines].map(([name, cells]) => ({
      name,
      cells: new Map([...cells].map(([block, distances]) => [block, meanCell(distances)])),
    })),
    format: (value) => (value < 1e-3 ? formatError(value) : value.toPrecision(2)),
  };
}

/** Formats a setting of each method. */
const formatSetting: Readonly<Record<MethodName, (setting: number) => string>> = {
  mpo: (setting) => `bond dimension ${setting}`,
  lowrank: (setting) => `rank ${setting}`,
  int8: (setting) => (setting === 0 ? 'per output' : `groups of ${setting}`),
  int4: (setting) => `groups of ${setting}`,
  gguf: settingType,
};

/** Section with the bytes and distances of every method at each of its settings. */
function settingsSection({ layers, original }: SensitivityProfile): Section {
  const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
  const schemes = new Map<string, Map<number, SensitivityEntry[]>>();
  for (const { entries } of layers) {
    for (const entry of entries) {
      const scheme = schemeName(entry);
      const settings = schemes.get(scheme) ?? new Map<number, SensitivityEntry[]>();
      schemes.set(
        scheme,
        settings.set(entry.setting, [...(settings.get(entry.setting) ?? []), entry]),
      );
    }
  }
  const listed = [...schemes].flatMap(([scheme, settings]) =>
    [...settings]
      .sort(([a], [b]) => b - a)
      .map(([setting, entries]) => ({ scheme, setting, entries })),
  );
  return {
    title: 'Methods and settings',
    text: ['Each layer was compressed alone; distances are means over the layers.'],
    table: {
      columns: [
        { title: 'method' },
        { title: 'setting' },
        ...numbers('layers', 'bytes', 'of all layers', 'mean distance'),
      ],
      rows: listed.map(({ scheme, setting, entries }) => {
        const left = entries.reduce((sum, entry) => sum + entry.bytes, 0);
        const distance = entries.reduce((sum, entry) => sum + entry.distance - original, 0);
        return [
          scheme,
          ...entries.slice(0, 1).map(({ method }) => formatSetting[method](setting)),
          String(entries.length),
          formatBytes(left),
          formatPercent(left / bytes),
          formatDistance(distance / entries.length),
        ];
      }),
    },
  };
}
