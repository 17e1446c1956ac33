import { glossary } from '../../core/glossary';
import { perplexityLabel } from '../../core/quality-labels';
import { inEnglish } from '../../core/message';
import { formatChange } from '../../core/format';
import { counted } from '../counted';
import {
  accuracyName,
  describeAnswers,
  describePredictions,
  formatAccuracy,
} from '../../core/evaluate/describe-accuracy';
import { domainCells, domainTitles } from '../../core/evaluate/domain-table';
import { describeLlamaSpeed } from '../../core/evaluate/describe-llama-speed';
import type { TaskEvaluation } from '../../core/evaluate/evaluate-models';
import type { Evaluation } from '../../core/evaluate/evaluation';
import type { Interval } from '../../core/evaluate/paired';
import type { TaskResult } from '../../core/evaluate/task-accuracy';
import type { Evaluated } from '../../core/operations/evaluate';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { printVerdict } from './verdict';

/** Terms of an evaluation that are explained. */
export const evaluationTerms = {
  perplexity: glossary.perplexity,
  'KL divergence': glossary.klDivergence,
  'top-1 agreement': glossary.agreement,
};

export const evaluate: Presenter<Evaluated> = {
  terms: evaluationTerms,
  options: {},
  print: (result, { terminal, request }) => {
    const { out, saveBase } = request;
    if (typeof out === 'string') {
      terminal.note(`Evaluation: ${out}`);
    }
    const model = String(request['model'] ?? request['plan']);
    const other = request['against'] ?? request['base'];
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
    if (typeof saveBase === 'string') {
      terminal.note(`Log-probabilities: ${saveBase}`);
    }
    if (result.against !== undefined) {
      const interval = ratioInterval(result.perplexityRatio);
      terminal.print(
        `Perplexity ${formatChange(result.against.perplexity, result.perplexity)} from ${against}${interval && ` (${interval})`}: ${inEnglish(perplexityLabel(result.against.perplexity, result.perplexity))}`,
      );
    }
    for (const sentence of [...describePredictions(result), ...describeLlamaSpeed(result)]) {
      terminal.print(inEnglish(sentence));
    }
    const domains = ('domains' in result && result.domains) || [];
    if (domains.length > 0) {
      const isCompared = domains.some(({ against: other }) => other !== undefined);
      printTable(
        terminal,
        ['domain', ...(isCompared ? domainTitles : domainTitles.slice(0, 2))],
        domains.map((one) => [one.domain, ...domainCells(one, { isCompared, intervals: false })]),
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
  const row = (name: string, judged: TaskResult): string[] => [
    name,
    formatAccuracy(judged.acc, judged.accError),
    formatAccuracy(judged.accNorm, judged.accNormError),
    judged.perplexity?.toFixed(2) ?? '–',
  ];
  const accuracy = accuracyName(result.kind);
  terminal.print(`${result.task}: ${result.kind}, ${counted(result.examples, 'example')}`);
  printTable(
    terminal,
    ['model', accuracy, 'acc_norm', 'perplexity per word'],
    [row(model, result), ...(result.against === undefined ? [] : [row(against, result.against)])],
  );
  if (result.compared !== undefined) {
    const { examples } = result;
    for (const sentence of describeAnswers(result.compared, { accuracy, against, examples })) {
      terminal.print(inEnglish(sentence));
    }
  }
}

/** `95 % interval −0.1 % to +0.4 %`; empty if it was not measured. */
export function ratioInterval(ratio: Interval | undefined): string {
  return ratio === undefined
    ? ''
    : `95 % interval ${formatChange(1, ratio.low)} to ${formatChange(1, ratio.high)}`;
}

/** A model that didn't run has no speed. */
type Measured = Omit<Evaluation, 'tokensPerSecond'> & Partial<Evaluation>;

function columns({ perplexity, tokens, tokensPerSecond }: Measured): string[] {
  return [perplexity.toFixed(2), String(tokens), tokensPerSecond?.toFixed(0) ?? '–'];
}
