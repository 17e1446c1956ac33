import { glossary } from '../../core/glossary';
import { perplexityWord } from '../../core/change-size';
import { inEnglish } from '../../core/message';
import { formatChange, formatPercent } from '../../core/format';
import { counted } from '../counted';
import type { TaskEvaluation } from '../../core/evaluate/evaluate-models';
import type { Evaluation } from '../../core/evaluate/evaluation';
import type { Interval } from '../../core/evaluate/paired';
import type { TaskResult } from '../../core/evaluate/task-accuracy';
import type { Evaluated } from '../../core/operations/evaluate';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { printVerdict } from './verdict';

export const evaluate: Presenter<Evaluated> = {
  terms: { perplexity: glossary.perplexity },
  options: {},
  print: (result, { terminal, request }) => {
    const { out } = request;
    if (typeof out === 'string') {
      terminal.note(`Evaluation: ${out}`);
    }
    const model = String(request['model'] ?? request['plan']);
    const { against: other } = request;
    const against = typeof other === 'string' ? other : '';
    if ('task' in result) {
      printTask(terminal, [model, against], result);
      printVerdict(terminal, result.verdict);
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
      terminal.print(
        `Perplexity ${formatChange(result.against.perplexity, result.perplexity)} from ${against}${rangeOf(result.perplexityRatio)}: ${inEnglish(perplexityWord(result.against.perplexity, result.perplexity))}`,
      );
    }
    printVerdict(terminal, result.verdict);
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
  const accuracy = result.kind === 'exact-match' ? 'exact_match' : 'acc';
  terminal.print(`${result.task}: ${result.kind}, ${counted(result.examples, 'example')}`);
  printTable(
    terminal,
    ['model', accuracy, 'acc_norm', 'perplexity of a word'],
    [row(model, result), ...(result.against === undefined ? [] : [row(against, result.against)])],
  );
  if (result.compared !== undefined) {
    const { difference, gained, lost, chance, retention } = result.compared;
    const points = (value: number): string =>
      `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(1)}`;
    terminal.print(
      difference.low <= 0 && difference.high >= 0
        ? `${accuracy}: no difference from ${against} that ${counted(result.examples, 'example')} could show (95 % interval ${points(difference.low)} to ${points(difference.high)} points)`
        : `${accuracy}: ${points(difference.value)} points from ${against} (95 % interval ${points(difference.low)} to ${points(difference.high)})`,
    );
    terminal.print(
      `Changed answers: ${gained} wrong → right, ${lost} right → wrong (McNemar p = ${chance.toPrecision(2)})` +
        (retention === undefined ? '' : `; accuracy retained: ${formatPercent(retention)}`),
    );
  }
}

/** ` (95 % interval +8.1 % to +12.3 %)` */
function rangeOf(ratio: Interval | undefined): string {
  return ratio === undefined
    ? ''
    : ` (95 % interval ${formatChange(1, ratio.low)} to ${formatChange(1, ratio.high)})`;
}

function columns({ perplexity, tokens, tokensPerSecond }: Evaluation): string[] {
  return [perplexity.toFixed(2), String(tokens), tokensPerSecond.toFixed(0)];
}
