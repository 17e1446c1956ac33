import { logarithmicShares } from '../core/report/report';
import type { Heatmap } from '../core/report/report';
import { printable } from '../core/printable';
import { viridis } from '../core/report/viridis';
import type { StyledText, Terminal } from './terminal';

const shades = ['·', '░', '▒', '▓', '█'] as const;
const cellWidth = 4;

/** Prints values by block across and line down, colored by their logarithms. */
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
        ? { text: ' '.repeat(cellWidth) }
        : paint(terminal, shareOf(cell.value), cell.text, cell.value === null);
    });
    terminal.printStyled([{ text: label(printable(name)) }, ...line]);
  }
  const scale = Array.from({ length: 10 }, (_, i) => paint(terminal, i / 9, '', false));
  terminal.printStyled([
    { text: `${label('')}${format(low)} ` },
    ...scale,
    { text: ` ${format(high)}  ${caption}` },
  ]);
}

function paint(terminal: Terminal, share: number, text: string, unknown: boolean): StyledText {
  const label = text.padStart(cellWidth - 1).padEnd(cellWidth);
  if (unknown) {
    return { text: label };
  }
  if (!terminal.hasColor) {
    const shade = shades[Math.min(shades.length - 1, Math.floor(share * shades.length))] ?? '';
    return { text: `${shade}${text.padStart(2)}`.padEnd(cellWidth) };
  }
  const { color, isLight } = viridis(share);
  const ink = isLight ? '38;2;0;0;0' : '38;2;255;255;255';
  return { text: label, style: `${ink};48;2;${color.join(';')}` };
}
