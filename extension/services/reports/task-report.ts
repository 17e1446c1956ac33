import { l10n } from 'vscode';
import { accuracyName, formatAccuracy } from '../../core/evaluate/describe-accuracy';
import { comparedAnswers } from '../../core/operations/evaluation-outcome';
import type { EvaluatedNames } from '../../core/operations/evaluation-outcome';
import type { TaskEvaluation } from '../../core/evaluate/evaluate-models';
import type { TaskResult } from '../../core/evaluate/task-accuracy';
import { counts } from '../counts';
import { localise } from '../localise';
import { escapeMarkdown, markdownTable } from './markdown-table';

/** What a model scores on a task, and how another answers, as Markdown. */
export function taskReport(result: TaskEvaluation, names: EvaluatedNames, shots: number): string {
  const [name, other] = [localise(names.name), localise(names.other)];
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
    ...comparedAnswers(result, names.other).map(
      (sentence) => `- ${escapeMarkdown(localise(sentence))}`,
    ),
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
