import { l10n } from 'vscode';
import { sublayerKinds } from '../../core/models/model-summary';
import type { ModelSummary } from '../../core/models/model-summary';
import { countForms } from '../../core/models/encodings/encoding-spec';
import { describeQuantization } from '../../core/models/quantized/quantization';
import { formatBytes, formatCount, formatPercent } from '../../core/format';
import { sublayerName } from '../sublayer-name';
import { escapeMarkdown, markdownTable, shareBar } from './markdown-table';
import { counts } from '../counts';
import { localise } from '../localise';

/** Composition of a model, as Markdown. */
export function modelReport(model: ModelSummary): string {
  return [
    `# ${escapeMarkdown(model.name)}`,
    headline(model),
    ...model.warnings.map((warning) => `> ⚠ ${escapeMarkdown(localise(warning))}`),
    facts(model),
    `## ${l10n.t('Parameters by part')}`,
    parts(model),
    `## ${l10n.t('Sublayers')}`,
    sublayers(model),
    l10n.t(
      'FLOPs count a multiply-add as two and leave out attention scores, which grow with the context. KV cache: bytes of keys and values kept per token of context.',
    ),
    '',
  ].join('\n\n');
}

/** `**llama** · 3.42 M parameters · 6.84 MiB · 12 blocks · 24 sublayers` */
function headline(model: ModelSummary): string {
  return [
    `**${escapeMarkdown(model.architecture)}**`,
    l10n.t('{0} parameters', formatCount(model.parameters)),
    formatBytes(model.bytes),
    counts.formatBlocks(model),
    counts.sublayers(model.sublayers.length),
  ].join(' · ');
}

function facts(model: ModelSummary): string {
  const dtypes = Object.entries(model.dtypes)
    .map(([dtype, bytes]) => `${dtype} ${formatBytes(bytes)}`)
    .join(', ');
  return markdownTable(
    [l10n.t('Property'), l10n.t('Value')],
    [
      [l10n.t('Folder'), escapeMarkdown(model.path)],
      [l10n.t('Stored as'), escapeMarkdown(dtypes)],
      ...(model.quantization === undefined
        ? []
        : [[l10n.t('Quantized by'), escapeMarkdown(describeQuantization(model.quantization))]]),
      ...known(l10n.t('Compressed matrices'), model.compressed, countForms),
      ...known(l10n.t('Hidden size'), model.hiddenSize, String),
      ...known(l10n.t('Vocabulary'), model.vocabularySize, String),
      ...known(l10n.t('Longest context'), model.maxPositions, (positions) =>
        l10n.t('{0} tokens', positions),
      ),
      ...known(l10n.t('LM head'), model.tiedHead, (tied) =>
        tied ? l10n.t('shares the embedding') : l10n.t('has its own weights'),
      ),
      [l10n.t('Fingerprint'), `\`${model.fingerprint.slice(0, 16)}\``],
    ],
  );
}

/** A row of the table, if the model's files contain the value. */
function known<T>(name: string, value: T | undefined, text: (value: T) => string): string[][] {
  return value === undefined ? [] : [[name, text(value)]];
}

function parts(model: ModelSummary): string {
  const present = new Set(model.sublayers.map(({ kind }) => kind));
  const kindTotals = sublayerKinds
    .filter((kind) => present.has(kind))
    .map((kind) => {
      const members = model.sublayers.filter((sublayer) => sublayer.kind === kind);
      const sum = (field: 'parameters' | 'bytes' | 'flopsPerToken' | 'kvBytesPerToken'): number =>
        members.reduce((total, sublayer) => total + sublayer[field], 0);
      return {
        name: sublayerName(kind),
        count: members.length,
        parameters: sum('parameters'),
        bytes: sum('bytes'),
        flops: formatCount(sum('flopsPerToken')),
        kv: sum('kvBytesPerToken'),
      };
    });
  const sumOverSublayers = (field: 'parameters' | 'bytes'): number =>
    kindTotals.reduce((total, part) => total + part[field], 0);
  const rest = {
    name: l10n.t('Embedding, final norm, head'),
    count: undefined,
    parameters: model.parameters - sumOverSublayers('parameters'),
    bytes: model.bytes - sumOverSublayers('bytes'),
    flops: '',
    kv: 0,
  };
  return markdownTable(
    [
      l10n.t('Part'),
      `${l10n.t('Sublayers')}:`,
      `${l10n.t('Parameters')}:`,
      l10n.t('Share'),
      `${l10n.t('Size')}:`,
      `${l10n.t('FLOPs per token')}:`,
      `${l10n.t('KV cache per token')}:`,
    ],
    [...kindTotals, rest].map((part) => {
      const share = model.parameters > 0 ? part.parameters / model.parameters : 0;
      return [
        part.name,
        part.count === undefined ? '' : String(part.count),
        formatCount(part.parameters),
        `${shareBar(share)}\u00a0${formatPercent(share)}`,
        formatBytes(part.bytes),
        part.flops,
        part.kv > 0 ? formatBytes(part.kv) : '',
      ];
    }),
  );
}

function sublayers(model: ModelSummary): string {
  return markdownTable(
    [
      l10n.t('Sublayer'),
      `${l10n.t('Parameters')}:`,
      `${l10n.t('Size')}:`,
      `${l10n.t('FLOPs per token')}:`,
      `${l10n.t('KV cache per token')}:`,
    ],
    model.sublayers.map((sublayer) => [
      `\`${sublayer.id}\``,
      formatCount(sublayer.parameters),
      formatBytes(sublayer.bytes),
      formatCount(sublayer.flopsPerToken),
      sublayer.kvBytesPerToken > 0 ? formatBytes(sublayer.kvBytesPerToken) : '–',
    ]),
  );
}
