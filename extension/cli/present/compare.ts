import { formatBytes, formatCount } from '../../core/format';
import { counted } from '../counted';
import type {
  ComparedModel,
  ModelComparison,
  TensorForm,
  WeightComparison,
} from '../../core/inspect/model-comparison';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { inEnglish } from '../../core/message';

export const compare: Presenter<ModelComparison> = {
  options: {},
  print: (comparison, { terminal }) => {
    print(terminal, comparison);
  },
};

function print(terminal: Terminal, comparison: ModelComparison): void {
  const { model, against, config, sublayers, tensors, forms, sameForm, weights } = comparison;
  const row = (name: string, value: (side: ComparedModel) => string): string[] => [
    name,
    value(model),
    value(against),
  ];
  printTable(
    terminal,
    ['', model.name, against.name],
    [
      row('family', ({ family }) => family ?? '–'),
      row('format', ({ format }) => format),
      row('blocks', ({ blocks }) => String(blocks)),
      row('tensors', (side) => String(side.tensors)),
      row('parameters', ({ parameters }) => formatCount(parameters)),
      row('bytes', ({ bytes }) => formatBytes(bytes)),
      ...config.map(({ field, ...values }) => [
        `config: ${field}`,
        values.model ?? '–',
        values.against ?? '–',
      ]),
    ],
  );
  list(terminal, `Sublayers only in ${model.name}`, sublayers.model);
  list(terminal, `Sublayers only in ${against.name}`, sublayers.against);
  list(terminal, `Tensors only in ${model.name}`, tensors.model);
  list(terminal, `Tensors only in ${against.name}`, tensors.against);
  list(
    terminal,
    'Tensors of another dtype or shape',
    forms.map((form) => `${form.name}: ${describe(form.model)} and ${describe(form.against)}`),
  );
  terminal.print(`${counted(sameForm, 'tensor')} have the same dtype and shape.`);
  if (weights !== undefined) {
    printWeights(terminal, weights);
  }
}

function printWeights(terminal: Terminal, { tensors, equal, skipped }: WeightComparison): void {
  const number = (value: number | undefined): string =>
    value === undefined ? '–' : String(Number(value.toPrecision(4)));
  terminal.print();
  printTable(
    terminal,
    ['tensor', 'max. difference', 'relative Frobenius', 'cosine'],
    tensors.map(({ name, maxAbsolute, relativeFrobenius, cosine }) => [
      name,
      ...[maxAbsolute, relativeFrobenius, cosine].map(number),
    ]),
  );
  terminal.print(`${equal} of ${tensors.length} compared tensors have the same numbers.`);
  for (const { name, reason } of skipped) {
    terminal.note(`${name}: ${inEnglish(reason)}`);
  }
}

function list(terminal: Terminal, title: string, names: readonly string[]): void {
  if (names.length > 0) {
    terminal.print(`\n${title} (${names.length}):`);
    for (const name of names) {
      terminal.print(`  ${name}`);
    }
  }
}

function describe({ dtype, shape }: TensorForm): string {
  return `${dtype} [${shape.join(', ')}]`;
}
