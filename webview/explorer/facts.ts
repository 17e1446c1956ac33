import { glossary } from '../../extension/core/glossary';
import type { Message } from '../../extension/core/message';
import type { Fact } from '../components/facts';
import { formatBytes, formatCompact, formatCount } from '../format';
import { strings } from './strings';
import { listed, named, tell } from '../translate';
import type { ModelDescription } from './types';

/** Facts about a model from its headers, the most interesting first. */
export function listFacts(model: ModelDescription): Fact[] {
  const { facts, totals, blocks, dtypes } = model;
  const sublayers = blocks.reduce((sum, block) => sum + block.sublayers.length, 0);
  const active = totals.activeParameters;
  const isSparse = active !== undefined && active < totals.parameters;
  const adapter = model.sideFiles.find((file) => file.name.endsWith('adapter_config.json'));
  return [
    {
      name: strings.parameters,
      value: isSparse
        ? listed([
            formatCompact(totals.parameters),
            strings.activeParameters(formatCompact(active)),
          ])
        : formatCompact(totals.parameters),
      title: formatCount(totals.parameters),
    },
    {
      name: strings.size,
      value: `${formatBytes(totals.bytes)} (${listed(Object.keys(dtypes))})`,
      title: Object.entries(dtypes)
        .map(([dtype, bytes]) => named(dtype, formatBytes(bytes)))
        .join('\n'),
    },
    {
      name: strings.structure,
      value: strings.structureValue(
        { blocks: blocks.length, encoderBlocks: facts.encoderBlocks },
        formatCount(sublayers),
        formatCount(totals.tensors),
      ),
    },
    ...given(strings.hiddenSize, facts.hiddenSize, formatCount),
    ...given(strings.intermediateSize, facts.intermediateSize, formatCount),
    ...given(strings.heads, facts.heads, (heads) =>
      strings.headsValue(
        formatCount(heads),
        facts.headSize === undefined ? undefined : formatCount(facts.headSize),
      ),
    ),
    ...given(strings.groups, facts.keyValueHeads, (groups) => {
      const share = (facts.heads ?? Number.NaN) / groups;
      return strings.groupsValue(
        formatCount(groups),
        Number.isInteger(share) ? formatCount(share) : undefined,
      );
    }),
    ...given(strings.experts, facts.experts, (experts) =>
      strings.expertsValue(
        formatCount(experts),
        facts.expertsPerToken === undefined ? undefined : formatCount(facts.expertsPerToken),
      ),
    ),
    ...given(strings.context, facts.contextLength, (length) => strings.tokens(formatCount(length))),
    ...given(strings.slidingWindow, facts.slidingWindow, (length) =>
      strings.tokens(formatCount(length)),
    ),
    ...given(strings.vocabulary, facts.vocabularySize, formatCount),
    ...given(strings.head, facts.tiedHead, (tied) => (tied ? strings.tiedHead : strings.ownHead)),
    ...given(strings.activation, facts.activation, String),
    ...given(strings.quantization, facts.quantization, String),
    ...given(strings.flopsPerToken, totals.flopsPerToken, formatCompact, glossary.flopsPerToken),
    ...given(
      strings.kvPerToken,
      positive(totals.kvBytesPerToken),
      formatBytes,
      glossary.kvBytesPerToken,
    ),
    ...given(
      strings.adapter,
      adapter,
      ({ facts: { peft_type: type, r, lora_alpha: alpha, base_model_name_or_path: base } }) =>
        listed(
          [type, r && `r = ${r}`, alpha && `α = ${alpha}`, base && strings.adapterOf(base)].filter(
            (part): part is string => part !== undefined && part !== '',
          ),
        ),
    ),
  ];
}

/** The value if positive: zeros are not listed. */
export function positive(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}

/** A fact, if the headers contain it. */
function given<T>(
  name: string,
  value: T | undefined,
  text: (value: T) => string,
  meaning?: Message,
): Fact[] {
  return value === undefined
    ? []
    : [{ name, value: text(value), ...(meaning === undefined ? {} : { title: tell(meaning) }) }];
}
