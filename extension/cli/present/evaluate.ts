import { formatPercent } from '../../core/format';
import { counted } from '../counted';
import type { Evaluation, EvaluationResult } from '../../core/evaluate/evaluation';
import type { TaskResult } from '../../core/evaluate/task-accuracy';
import type { TaskEvaluation } from '../../core/operations/evaluate';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';

export const evaluate: Presenter<EvaluationResult | TaskEvaluation> = {
  options: {},
  print: (result, { terminal, request }) => {
    const model = String(request['model'] ?? request['plan']);
    const { against: other } = request;
    const against = typeof other === 'string' ? other : '';
    if ('task' in result) {
      printTask(terminal, [model, against], result);
      return;
    }
    printTable(
      terminal,
      ['model', 'perplexity', 'tokens', 'tokens/s'],
      [
        [model, ...columns(result)],
        ...(result.against === undefined ? [] : [[against, ...columns(result.against)]]),
      ],
    );
    if (result.against !== undefined) {
      const change = result.against.perplexity / result.perplexity - 1;
      terminal.print(`Perplexity ${change < 0 ? '−' : '+'}${formatPercent(Math.abs(change))}`);
    }
  },
};

function printTask(
  terminal: Terminal,
  [model, against]: readonly [model: string, against: string],
  result: TaskEvaluation,
): void {
  const percent = (share: number | undefined, error: number | undefined): string =>
    share === undefined || error === undefined
      ? '–'
      : `${(100 * share).toFixed(1)} ± ${(100 * error).toFixed(1)} %`;
  const row = (name: string, judged: TaskResult): string[] => [
    name,
    percent(judged.acc, judged.accError),
    percent(judged.accNorm, judged.accNormError),
    judged.perplexity?.toFixed(2) ?? '–',
  ];
  terminal.print(`${result.task}: ${result.kind}, ${counted(result.examples, 'example')}`);
  printTable(
    terminal,
    ['model', 'acc', 'acc_norm', 'perplexity of a word'],
    [row(model, result), ...(result.against === undefined ? [] : [row(against, result.against)])],
  );
}

function columns({ perplexity, tokens, tokensPerSecond }: Evaluation): string[] {
  return [perplexity.toFixed(2), String(tokens), tokensPerSecond.toFixed(0)];
}
