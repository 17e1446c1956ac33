import { formatPercent } from '../../core/format';
import { describeSpread } from '../../core/symbolic/evolution/evolve';
import type { Spread } from '../../core/symbolic/evolution/evolve';
import type { SynthesisResult } from '../../core/symbolic/evolution/synthesize';
import type { Presenter } from '../presenter';
import { printTable } from '../table';

export const synthesize: Presenter<SynthesisResult> = {
  options: {},
  print: ({ document, log, network, library }, { terminal }) => {
    const { iterations, lines, baselines = [], best } = document;
    printTable(
      terminal,
      [
        'iteration',
        'programs',
        'graphs',
        'new',
        'replaced',
        'learned',
        'test accuracy',
        'train ~ test',
      ],
      iterations.map((record, i) => [
        String(i + 1),
        String(record.exploration.enumerated),
        String(record.exploration.total),
        String(record.exploration.added),
        String(record.exploration.replaced),
        String(record.learned.length),
        accuracy(record.spread),
        record.correlation === null ? '–' : record.correlation.toFixed(2),
      ]),
    );
    terminal.print();
    const { train, validation, test } = best.metrics;
    terminal.print(
      `Best by validation: ${best.name}, accuracy ${formatPercent(test)} on test (validation ${formatPercent(validation)}, train ${formatPercent(train)})`,
    );
    terminal.print(`  ${best.program}`);
    terminal.print(
      `Without a look at the pictures: ${formatPercent(lines.test.majority)} (always the more frequent label), ${formatPercent(lines.test.shortcut)} (1 for a shape in a shape)`,
    );
    if (baselines.length > 0) {
      const tests = baselines.map((metrics) => metrics.test);
      terminal.print(`With a dense layer instead of a graph: ${accuracy(describeSpread(tests))}`);
    }
    terminal.note(`Log: ${log}. Network: ${network}. Library of the programs: ${library}`);
  },
};

function accuracy({ mean, deviation, least, most }: Spread): string {
  const percent = (value: number): string => (100 * value).toFixed(1);
  const spread = deviation === null ? '' : ` ± ${percent(deviation)}`;
  return `${percent(mean)}${spread} (${percent(least)}–${percent(most)})`;
}
