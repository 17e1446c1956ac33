import { l10n } from 'vscode';
import {
  accuracyName,
  describeAnswers,
  formatAccuracy,
} from '../../core/evaluate/describe-accuracy';
import type { TaskEvaluation } from '../../core/evaluate/evaluate-models';
import type { TaskResult } from '../../core/evaluate/task-accuracy';
import { counts } from '../counts';
import { localise } from '../localise';
import { escapeMarkdown, markdownTable } from './markdown-table';

/** The model of a task evaluation, and the one that it is compared with. */
export interface JudgedNames {
  readonly name: string;
  readonly other: string;
}

/** What a model scores on a task, and how another answers, as Markdown. */
export function taskReport(result: TaskEvaluation, { name, other }: JudgedNames): string {
  const row = (model: string, judged: TaskResult): string[] => [
    escapeMarkdown(model),
    formatAccuracy(judged.acc, judged.accError),
    formatAccuracy(judged.accNorm, judged.accNormError),
    judged.perplexity?.toFixed(2) ?? '–',
  ];
  return [
    `# ${escapeMarkdown(l10n.t('{0} on {1}', name, result.task))}`,
    l10n.t('{0} of the kind {1}.', counts.examples(result.examples), result.kind),
    markdownTable(
      [
        l10n.t('Model'),
        ...[accuracyName(result.kind), 'acc_norm', l10n.t('perplexity of a word')].map(
          (column) => `${column}:`,
        ),
      ],
      [row(name, result), ...(result.against === undefined ? [] : [row(other, result.against)])],
    ),
    ...comparedOf(result, other).map((sentence) => `- ${escapeMarkdown(sentence)}`),
    '',
  ].join('\n\n');
}

/** The same in a few sentences. */
export function taskSummary(result: TaskEvaluation, { other }: JudgedNames): string {
  const { task, kind, acc, accError, examples } = result;
  const score = `${accuracyName(kind)} ${formatAccuracy(acc, accError)}`;
  return [
    l10n.t('{0}: {1} of {2}.', task, score, counts.examples(examples)),
    ...comparedOf(result, other).map((sentence) => `${sentence}.`),
  ].join(' ');
}

function comparedOf({ compared, kind, examples }: TaskEvaluation, against: string): string[] {
  const given = { accuracy: accuracyName(kind), against, examples };
  return compared === undefined ? [] : describeAnswers(compared, given).map(localise);
}
