import { logarithmicShares } from '../core/report/report';
import type { Heatmap } from '../core/report/report';
import { viridis } from '../core/report/viridis';
import type { Terminal } from './terminal';

const shades = ['·', '░', '▒', '▓', '█'] as const;
const cellWidth = 4;

/** Prints values by block across and line down, coloured by their logarithms. */
export function printHeatmap(
  terminal: Terminal,
  { blocks, lines, caption, format }: Heatmap,
): void {
  const { low, high, shareOf } = logarithmicShares(
    lines.flatMap(({ cells }) => [...cells.values()].map(({ value }) => value)),
  );
  const width = Math.max(13, ...lines.map(({ name }) => name.length + 1));
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
  for (const { name, cells } of lines) {
    const line = blocks.map((block) => {
      const cell = cells.get(block);
      return cell === undefined
        ? ' '.repeat(cellWidth)
        : paint(terminal, shareOf(cell.value), cell.text, cell.value === null);
    });
    terminal.print(label(name) + line.join(''));
  }
  const scale = Array.from({ length: 10 }, (_, i) => paint(terminal, i / 9, '', false)).join('');
  terminal.print(`${label('')}${format(low)} ${scale} ${format(high)}  ${caption}`);
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
  const { color, isLight } = viridis(share);
  const ink = isLight ? '38;2;0;0;0' : '38;2;255;255;255';
  return `\u001b[${ink};48;2;${color.join(';')}m${label}\u001b[0m`;
}
