import { describePredictions } from '../../evaluate/describe-accuracy';
import type { EvaluationResult } from '../../evaluate/evaluation';
import { formatBytes, formatChange, formatCount } from '../../format';
import type {
  ComparedModel,
  ModelComparison,
  TensorForm,
  WeightComparison,
} from '../../inspect/model-comparison';
import { listed, sentences, numbers } from '../report';
import type { HeatmapCell, HeatmapLine, Report, Section } from '../report';

/**
 * Report on the differences between two models.
 * @param quality of the model, compared with the other
 */
export function comparisonReport(
  comparison: ModelComparison,
  quality: EvaluationResult | undefined,
  version: string,
): Report {
  const { model, against, config, sublayers, tensors, forms, sameForm, weights } = comparison;
  const change = (
    of: (side: ComparedModel) => number,
    format: (value: number) => string,
  ): string => {
    const [before, after] = [of(against), of(model)];
    return before === after
      ? format(after)
      : `${format(before)} → ${format(after)} (${formatChange(before, after)})`;
  };
  const ids = (title: string, names: readonly string[], column: string): readonly Section[] =>
    listed(
      title,
      [{ title: column }],
      names.map((name) => [name]),
    );
  return {
    title: `${model.name} against ${against.name}`,
    facts: [
      { name: 'Parameters', value: change(({ parameters }) => parameters, formatCount) },
      { name: 'Size', value: change(({ bytes }) => bytes, formatBytes) },
      { name: 'Blocks', value: `${against.blocks} → ${model.blocks}` },
      { name: 'Format', value: `${against.format} → ${model.format}` },
      { name: 'Tensors of the same type and shape', value: String(sameForm) },
    ],
    sections: [
      ...(quality === undefined ? [] : qualitySections(comparison, quality)),
      ...(weights === undefined ? [] : weightSections(weights)),
      ...ids(`Sublayers only in ${against.name}`, sublayers.against, 'sublayer'),
      ...ids(`Sublayers only in ${model.name}`, sublayers.model, 'sublayer'),
      ...listed(
        'Configuration',
        [{ title: 'key' }, { title: against.name }, { title: model.name }],
        config.map((one) => [one.field, one.against ?? '–', one.model ?? '–']),
      ),
      ...listed(
        'Tensors of another type or shape',
        [{ title: 'tensor' }, { title: against.name }, { title: model.name }],
        forms.map((one) => [one.name, formText(one.against), formText(one.model)]),
      ),
      ...ids(`Tensors only in ${against.name}`, tensors.against, 'tensor'),
      ...ids(`Tensors only in ${model.name}`, tensors.model, 'tensor'),
    ],
    origin: `Espalier ${version}`,
  };
}

function qualitySections(
  { model, against }: ModelComparison,
  { perplexityRatio: ratio, against: other, ...own }: EvaluationResult,
): readonly Section[] {
  if (other === undefined) {
    return [];
  }
  const range =
    ratio === undefined
      ? 'The two read the text as different tokens or in too few windows, so there is no interval.'
      : `95 % interval of the change: ${formatChange(1, ratio.low)} to ${formatChange(1, ratio.high)}.`;
  return [
    {
      title: `Perplexity ${formatChange(other.perplexity, own.perplexity)} on held-out text`,
      text: [range, ...sentences(describePredictions(own))],
      table: {
        columns: [{ title: 'model' }, ...numbers('perplexity', 'tokens', 'tokens/s')],
        rows: [
          { name: against.name, ...other },
          { name: model.name, ...own },
        ].map(({ name, perplexity, tokens, tokensPerSecond }) => [
          name,
          perplexity.toFixed(2),
          String(tokens),
          tokensPerSecond.toFixed(0),
        ]),
      },
    },
  ];
}

function weightSections({ tensors, equal, skipped }: WeightComparison): readonly Section[] {
  const number = (value: number | undefined): string => value?.toPrecision(3) ?? '–';
  const lines = new Map<string, Map<number, HeatmapCell>>();
  for (const { name, relativeFrobenius: value } of tensors) {
    // Matches names such as `model.layers.3.mlp.up_proj.weight`.
    const [, block, role] = /\.(\d+)\.(\D+)$/.exec(name) ?? [];
    if (block !== undefined && role !== undefined) {
      const cells = lines.get(role) ?? new Map<number, HeatmapCell>();
      lines.set(role, cells.set(Number(block), { value: value ?? null, text: '' }));
    }
  }
  const blocks = [...new Set([...lines.values()].flatMap((cells) => [...cells.keys()]))];
  const different = tensors.filter(({ maxAbsolute }) => maxAbsolute !== 0);
  const table = {
    title: 'Different tensors',
    columns: [
      { title: 'tensor' },
      ...numbers('largest difference', 'relative difference', 'cosine'),
    ],
    rows: different.map(({ name, maxAbsolute, relativeFrobenius, cosine }) => [
      name,
      ...[maxAbsolute, relativeFrobenius, cosine].map(number),
    ]),
  };
  return [
    {
      title: 'Weights',
      text: [
        `${equal} of ${tensors.length} compared tensors have the same numbers.` +
          (skipped.length === 0 ? '' : ` ${skipped.length} could not be compared.`),
      ],
      // Omits heatmaps without blocks or with only zeros, which the sentence above already says.
      ...([...lines.values()].every((cells) => [...cells.values()].every(({ value }) => !value))
        ? {}
        : {
            figure: {
              kind: 'heatmap' as const,
              caption: 'Relative difference of the weights, ‖a − b‖ / ‖a‖, by block.',
              blocks: blocks.sort((a, b) => a - b),
              lines: [...lines].map(([name, cells]): HeatmapLine => ({ name, cells })),
              format: (value) => value.toPrecision(2),
            },
          }),
      ...(different.length === 0 ? {} : { table }),
    },
  ];
}

const formText = ({ dtype, shape }: TensorForm): string => `${dtype} ${shape.join(' × ')}`;
