import { numbers } from '../report';
import { formatPercent } from '../../format';
import type { Experiment } from '../../datadiet/subsets/experiment-document';
import type { Report, Series } from '../report';

export function experimentReport({
  dataset,
  request,
  rows,
}: Pick<Experiment, 'dataset' | 'request' | 'rows'>): Report {
  const series = new Map<string, Series['points']>();
  for (const { choice, keep, mean, deviation = 0 } of rows) {
    const points = series.get(choice) ?? [];
    series.set(choice, [...points, { x: keep, y: mean, spread: deviation }]);
  }
  return {
    title: `Subsets of ${dataset.name}`,
    facts: [
      { name: 'Examples', value: String(dataset.examples) },
      { name: 'Trained for', value: `the same number of ${request.iso}` },
      { name: 'Seeds', value: String(request.seeds) },
    ],
    sections: [
      {
        title: 'Accuracy by share of the examples',
        figure: {
          kind: 'lines',
          caption: 'Accuracy of models that were trained on parts of the examples.',
          x: { title: 'share of the examples', format: formatPercent },
          y: { title: 'accuracy', format: formatPercent },
          series: [...series].map(([name, points]) => ({
            name,
            points: [...points].sort((a, b) => a.x - b.x),
          })),
        },
        table: {
          title: 'Trainings',
          columns: [{ title: 'subset' }, ...numbers('share', 'examples', 'accuracy', 'deviation')],
          rows: rows.map(({ choice, keep, examples, mean, deviation }) => [
            choice,
            formatPercent(keep),
            String(examples),
            formatPercent(mean),
            deviation === undefined ? '–' : formatPercent(deviation),
          ]),
        },
      },
    ],
    origin: `Dataset fingerprint ${dataset.fingerprint}`,
  };
}
