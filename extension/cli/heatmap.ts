import type { LayerProfile } from '../core/prune/layer-profile';
import type { Terminal } from './terminal';

/** Stops of the colour map viridis, the heatmap panel's: readable with every colour vision. */
const stops = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
] as const;
const shades = ['·', '░', '▒', '▓', '█'] as const;
const cellWidth = 4;

/** A cell of a heatmap: its value, or null where nothing was measured, and what is written into it. */
export interface HeatmapCell {
  readonly value: number | null;
  readonly text: string;
}

/** Prints blocks across and kinds down, coloured by the logarithm of the distance. */
export function printHeatmap(terminal: Terminal, profile: LayerProfile): void {
  const order = new Map(profile.rounds.map(({ removed }, i) => [removed, String(i + 1)]));
  const rows = new Map<string, Map<number, HeatmapCell>>();
  const blocks = [...new Set(profile.model.sublayers.map(({ block }) => block))];
  for (const { sublayer, distance } of profile.candidates) {
    const [, block = '0', ...names] = sublayer.split('.');
    const kind = names.join(' ') || 'block';
    const cells = rows.get(kind) ?? new Map<number, HeatmapCell>();
    cells.set(Number(block), { value: distance, text: order.get(sublayer) ?? '' });
    rows.set(kind, cells);
  }
  const legend = 'distance if removed alone; numbers: order of removal';
  printGrid(terminal, blocks, rows, legend);
}

/** Prints values by block across and row down, coloured by their logarithm. */
export function printGrid(
  terminal: Terminal,
  blocks: readonly number[],
  rows: ReadonlyMap<string, ReadonlyMap<number, HeatmapCell>>,
  legend: string,
): void {
  const known = [...rows.values()]
    .flatMap((cells) => [...cells.values()])
    .flatMap(({ value }) => (value !== null && value > 0 ? [Math.log(value)] : []));
  const low = Math.min(...known);
  const high = Math.max(...known);
  const shareOf = (value: number | null): number =>
    value === null || value <= 0 ? 0 : (Math.log(value) - low) / (high - low || 1);
  const width = Math.max(13, ...[...rows.keys()].map((row) => row.length + 1));
  const label = (text: string): string => text.padEnd(width);
  terminal.print(
    label('block') +
      blocks
        .map((block) =>
          String(block)
            .padStart(cellWidth - 1)
            .padEnd(cellWidth),
        )
        .join(''),
  );
  for (const [row, cells] of rows) {
    const line = blocks.map((block) => {
      const cell = cells.get(block);
      return cell === undefined
        ? ' '.repeat(cellWidth)
        : paint(terminal, shareOf(cell.value), cell.text, cell.value === null);
    });
    terminal.print(label(row) + line.join(''));
  }
  const scale = Array.from({ length: 10 }, (_, i) => paint(terminal, i / 9, '', false)).join('');
  terminal.print(
    `${label('')}${Math.exp(low).toPrecision(2)} ${scale} ${Math.exp(high).toPrecision(2)}  ${legend}`,
  );
}

function paint(terminal: Terminal, share: number, text: string, unknown: boolean): string {
  const label = text.padStart(cellWidth - 1).padEnd(cellWidth);
  if (unknown) {
    return label;
  }
  if (!terminal.hasColour) {
    const shade = shades[Math.min(shades.length - 1, Math.floor(share * shades.length))] ?? '';
    return `${shade}${text.padStart(2)}`.padEnd(cellWidth);
  }
  const position = share * (stops.length - 1);
  const from = stops[Math.floor(position)] ?? stops[0];
  const to = stops[Math.min(stops.length - 1, Math.floor(position) + 1)] ?? from;
  const [r, g, b] = from.map((value, i) =>
    Math.round(value + ((to[i] ?? value) - value) * (position % 1)),
  );
  const ink = share > 0.55 ? '38;2;0;0;0' : '38;2;255;255;255';
  return `\u001b[${ink};48;2;${r};${g};${b}m${label}\u001b[0m`;
}
