import { basename } from 'node:path';
import { perplexityLabel } from '../../quality-labels';
import {
  accuracyName,
  describeAnswers,
  describePredictions,
  formatAccuracy,
} from '../../evaluate/describe-accuracy';
import { domainCells, domainTitles } from '../../evaluate/domain-table';
import { describeLlamaSpeed } from '../../evaluate/describe-llama-speed';
import { describeMeasured, outcomeWords } from '../../evaluate/requirements';
import type { EvaluationDocument } from '../../evaluate/evaluation-document';
import { formatChange } from '../../format';
import { inEnglish } from '../../message';
import { sentences, describeOrigin, numbers } from '../report';
import type { Fact, Report, Section } from '../report';

type Measured = NonNullable<EvaluationDocument['against']>;

/** Report on the quality of a model on held-out text or a task, compared with another model and with limits. */
export function evaluationReport(evaluation: EvaluationDocument): Report {
  const { evaluated, other, removed, text, task, examples, verdict, warnings = [] } = evaluation;
  const fact = (name: string, value: string | undefined): readonly Fact[] =>
    value === undefined ? [] : [{ name, value }];
  return {
    title:
      other === undefined
        ? `Evaluation of ${evaluated.name}`
        : `Evaluation of ${evaluated.name} against ${other.name}`,
    facts: [
      ...fact('Text', text && basename(text)),
      ...fact('Task', task),
      ...fact('Examples', examples?.toString()),
      ...fact('Parts left out', removed === 0 ? undefined : String(removed)),
      ...fact('Verdict', verdict && outcomeWords[verdict.outcome]),
      ...warnings.flatMap((warning) => fact('Warning', warning)),
    ],
    sections: [
      task === undefined ? perplexitySection(evaluation) : taskSection(evaluation),
      ...domainSection(evaluation),
      ...verdictSection(verdict),
    ],
    origin: describeOrigin(evaluation),
  };
}

/** One row per model, the reference model first. */
function modelRows(
  { evaluated, other, against, ...own }: EvaluationDocument,
  cells: (measured: Measured) => readonly string[],
): readonly (readonly string[])[] {
  const before = against === undefined ? [] : [[other?.name ?? '–', ...cells(against)]];
  return [...before, [evaluated.name, ...cells(own)]];
}

function perplexitySection(evaluation: EvaluationDocument): Section {
  const { perplexity: after, against, perplexityRatio: ratio } = evaluation;
  const before = against?.perplexity;
  const range =
    ratio === undefined
      ? ''
      : ` 95 % interval of the change: ${formatChange(1, ratio.low)} to ${formatChange(1, ratio.high)}.`;
  return {
    title: 'Perplexity',
    text: [
      'Perplexity on held-out text; lower is better.',
      ...(before === undefined || after === undefined
        ? []
        : [
            `${formatChange(before, after)}: ${inEnglish(perplexityLabel(before, after))}.${range}`,
          ]),
      ...sentences([...describePredictions(evaluation), ...describeLlamaSpeed(evaluation)]),
    ],
    table: {
      columns: [{ title: 'model' }, ...numbers('perplexity', 'tokens', 'tokens/s')],
      rows: modelRows(evaluation, ({ perplexity, tokens, tokensPerSecond }) => [
        perplexity?.toFixed(2) ?? '–',
        tokens?.toString() ?? '–',
        tokensPerSecond?.toFixed(0) ?? '–',
      ]),
    },
  };
}

/** Section with one row per domain of the text. */
function domainSection({ domains = [] }: EvaluationDocument): readonly Section[] {
  if (domains.length === 0) {
    return [];
  }
  const isCompared = domains.some(({ against }) => against !== undefined);
  return [
    {
      title: 'By domain',
      table: {
        columns: [
          { title: 'domain' },
          ...numbers(...(isCompared ? domainTitles : domainTitles.slice(0, 2))),
        ],
        rows: domains.map((one) => [
          one.domain,
          ...domainCells(one, { isCompared, intervals: true }),
        ]),
      },
    },
  ];
}

function taskSection(evaluation: EvaluationDocument): Section {
  const { compared, kind, examples = 0, other } = evaluation;
  const given = { accuracy: accuracyName(kind), against: other?.name ?? '–', examples };
  return {
    title: 'Accuracy',
    ...(compared === undefined ? {} : { text: sentences(describeAnswers(compared, given)) }),
    table: {
      columns: [{ title: 'model' }, ...numbers('accuracy', 'normalized accuracy')],
      rows: modelRows(evaluation, ({ acc, accError, accNorm, accNormError }) => [
        formatAccuracy(acc, accError),
        formatAccuracy(accNorm, accNormError),
      ]),
    },
  };
}

function verdictSection(verdict: EvaluationDocument['verdict']): readonly Section[] {
  if (verdict === undefined) {
    return [];
  }
  return [
    {
      title: `Verdict: ${outcomeWords[verdict.outcome]}`,
      table: {
        columns: [
          { title: 'limit' },
          ...numbers('measured', '95 % interval'),
          { title: 'verdict' },
        ],
        rows: verdict.limits.map(({ limit, measured, outcome }) => {
          const { value = '–', ends } =
            measured === undefined ? {} : describeMeasured(limit, measured);
          return [limit, value, ends?.join(' to ') ?? '–', outcomeWords[outcome]];
        }),
      },
    },
  ];
}
