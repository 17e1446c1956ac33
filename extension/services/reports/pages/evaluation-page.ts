import { l10n } from 'vscode';
import { modelPathName } from '../../../core/checkpoints/model-file';
import { accuracyName, formatAccuracy } from '../../../core/evaluate/describe-accuracy';
import { domainCells, domainTitles } from '../../../core/evaluate/domain-table';
import type { BaseEvaluation, EvaluationResult } from '../../../core/evaluate/evaluation';
import type { TaskEvaluation } from '../../../core/evaluate/evaluate-models';
import type { Verdict } from '../../../core/evaluate/requirements';
import type { TaskResult } from '../../../core/evaluate/task-accuracy';
import { formatCount } from '../../../core/format';
import { comparedAnswers } from '../../../core/operations/evaluation-outcome';
import type { EvaluatedNames } from '../../../core/operations/evaluation-outcome';
import type { ReportSection } from '../../../protocol/report';
import { counts } from '../../counts';
import { localise } from '../../localise';
import { evaluationTiles, verdictSections } from '../measured-tiles';
import type { PageContent } from '../page';

/** Paths of the evaluated model and its reference. */
export interface EvaluatedPaths {
  readonly model: string;
  readonly against?: string;
}

interface Judged {
  readonly verdict?: Verdict;
}

/** Report of a model's perplexity on held-out text, compared with another model if one was given. */
export function evaluationPage(
  result: (EvaluationResult | BaseEvaluation) & Judged,
  { model, against }: EvaluatedPaths,
): PageContent {
  const tags = [
    l10n.t('Evaluation'),
    ...(against === undefined ? [] : [l10n.t('against {0}', modelPathName(against))]),
  ];
  return {
    title: modelPathName(model),
    tooltip: model,
    tags,
    sections: [
      {
        title: l10n.t('Result'),
        note: l10n.t('Measured on {0} tokens of held-out text.', formatCount(result.tokens)),
        tiles: [
          ...evaluationTiles(result),
          {
            name: l10n.t('Speed'),
            value: l10n.t('{0} tokens/s', formatCount(result.tokensPerSecond)),
            note: l10n.t('whole sequences at once, not generation'),
          },
        ],
      },
      ...verdictSections(result.verdict),
      ...('domains' in result ? domainSection(result) : []),
    ],
  };
}

function domainSection({ domains = [], against }: EvaluationResult): ReportSection[] {
  const isCompared = against !== undefined;
  return domains.length === 0
    ? []
    : [
        {
          title: l10n.t('By domain'),
          table: {
            columns: [
              { title: l10n.t('Domain') },
              ...(isCompared ? domainTitles : domainTitles.slice(0, 2)).map((title) => ({
                title,
                isNumber: true,
              })),
            ],
            rows: domains.map((one) => [
              one.domain,
              ...domainCells(one, { isCompared, intervals: false }),
            ]),
          },
        },
      ];
}

/** Report of a model's score on a task, compared with another model if one was given. */
export function taskPage(
  result: TaskEvaluation & Judged,
  { model }: EvaluatedPaths,
  names: EvaluatedNames,
  shots: number,
): PageContent {
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
    [l10n.t('perplexity per word'), ({ perplexity }) => perplexity?.toFixed(2)],
  ];
  const measured = columns.filter(([, tell]) => tell(result) !== undefined);
  return {
    title: l10n.t('{0} on {1}', name, result.task),
    tooltip: model,
    tags: [l10n.t('Evaluation')],
    sections: [
      {
        title: l10n.t('Accuracy'),
        note: [
          counts.examples(result.examples),
          kindName(result.kind),
          ...(shots === 0 ? [] : [l10n.t('{0}-shot', shots)]),
        ].join(' · '),
        table: {
          columns: [
            { title: l10n.t('Model') },
            ...measured.map(([title]) => ({ title, isNumber: true })),
          ],
          rows: rows.map(([of, judged]) => [
            of,
            ...measured.map(([, tell]) => tell(judged) ?? '–'),
          ]),
        },
        list: comparedAnswers(result, names.other).map(localise),
      },
      ...verdictSections(result.verdict),
    ],
  };
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
