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
export function taskReport(
  result: TaskEvaluation,
  { name, other }: JudgedNames,
  shots: number,
): string {
  const rows = [
    [name, result] as const,
    ...(result.against ? [[other, result.against] as const] : []),
  ];
  const columns: readonly (readonly [string, (judged: TaskResult) => string | undefined])[] = [
    [accuracyName(result.kind), ({ acc, accError }) => formatAccuracy(acc, accError)],
    [
      'acc_norm',
      ({ accNorm, accNormError }) =>
        accNorm === undefined ? undefined : formatAccuracy(accNorm, accNormError),
    ],
    [l10n.t('perplexity of a word'), ({ perplexity }) => perplexity?.toFixed(2)],
  ];
  const measured = columns.filter(([, tell]) => tell(result) !== undefined);
  return [
    `# ${escapeMarkdown(l10n.t('{0} on {1}', name, result.task))}`,
    [
      counts.examples(result.examples),
      kindName(result.kind),
      ...(shots === 0 ? [] : [l10n.t('{0}-shot', shots)]),
    ].join(' · '),
    markdownTable(
      [l10n.t('Model'), ...measured.map(([column]) => `${column}:`)],
      rows.map(([model, judged]) => [
        escapeMarkdown(model),
        ...measured.map(([, tell]) => tell(judged) ?? '–'),
      ]),
    ),
    ...comparedOf(result, other).map((sentence) => `- ${escapeMarkdown(sentence)}`),
    '',
  ].join('\n\n');
}

function kindName(kind: TaskEvaluation['kind']): string {
  switch (kind) {
    case 'multiple-choice':
      return l10n.t('multiple choice');
    case 'last-word':
      return l10n.t('last word');
    case 'exact-match':
      return l10n.t('exact match');
  }
}

/** The same in a few sentences. */
export function taskSummary(result: TaskEvaluation, { other }: JudgedNames): string {
  const { task, kind, acc, accError, examples } = result;
  const score = `${accuracyName(kind)} ${formatAccuracy(acc, accError)}`;
  return [
    l10n.t('{0} on {1} ({2}).', score, task, counts.examples(examples)),
    ...comparedOf(result, other).map((sentence) => `${sentence}.`),
  ].join(' ');
}

function comparedOf({ compared, kind, examples }: TaskEvaluation, against: string): string[] {
  const given = { accuracy: accuracyName(kind), against, examples };
  return compared === undefined ? [] : describeAnswers(compared, given).map(localise);
}
