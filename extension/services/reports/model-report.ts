import { l10n } from 'vscode';
import { describeVerification } from '../../core/export/verification';
import type { PruneResult } from '../../core/pipelines/prune-result';
import type { CompressResult } from '../../core/pipelines/compression/compress-model';
import { sublayerKinds } from '../../core/models/model-summary';
import { expertIds } from '../../core/models/units';
import type { ModelSummary } from '../../core/models/model-summary';
import { countForms } from '../../core/models/encodings/encoding-spec';
import { describeQuantization } from '../../core/models/quantized/quantization';
import { formatBytes, formatChange, formatCount, formatPercent } from '../../core/format';
import type { ApplyResult } from '../../core/operations/apply-plan';
import { qualityReport } from './quality-report';
import { sublayerName } from '../sublayer-name';
import { escapeMarkdown, markdownTable, shareBar } from './markdown-table';
import { counts } from '../counts';
import { localise } from '../localise';

/** What a model consists of, as Markdown. */
export function modelReport(model: ModelSummary): string {
  return [
    `# ${escapeMarkdown(model.name)}`,
    headline(model),
    ...model.warnings.map((warning) => `> ⚠ ${escapeMarkdown(localise(warning))}`),
    facts(model),
    `## ${l10n.t('Where the parameters are')}`,
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
    counts.blocksOf(model),
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
      ...known(l10n.t('Output head'), model.tiedHead, (tied) =>
        tied ? l10n.t('shares the embedding') : l10n.t('has its own weights'),
      ),
      [l10n.t('Fingerprint'), `\`${model.fingerprint.slice(0, 16)}\``],
    ],
  );
}

/** What was done to a model, in a word. */
function titleOf(name: string, result: ApplyResult): string {
  if ('layers' in result && result.layers.length > 0) {
    return l10n.t('{0}, compressed', name);
  }
  if (result.removed.length > 0) {
    return l10n.t('{0}, pruned', name);
  }
  if (result.narrowed !== undefined) {
    return l10n.t('{0}, narrowed', name);
  }
  return result.patched === undefined
    ? l10n.t('{0}, converted', name)
    : l10n.t('{0}, with graph modules', name);
}

/** A row of the table, where the model's files tell the value. */
function known<T>(name: string, value: T | undefined, text: (value: T) => string): string[][] {
  return value === undefined ? [] : [[name, text(value)]];
}

function parts(model: ModelSummary): string {
  const present = new Set(model.sublayers.map(({ kind }) => kind));
  const ofKind = sublayerKinds
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
  const inSublayers = (field: 'parameters' | 'bytes'): number =>
    ofKind.reduce((total, part) => total + part[field], 0);
  const rest = {
    name: l10n.t('Embedding, final norm, head'),
    count: undefined,
    parameters: model.parameters - inSublayers('parameters'),
    bytes: model.bytes - inSublayers('bytes'),
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
    [...ofKind, rest].map((part) => {
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

/** A row for single experts, where such were removed. */
function experts({ sublayers }: ModelSummary, { removed }: PruneResult): string[][] {
  const all = sublayers.flatMap(expertIds);
  const left = sublayers.filter(({ id }) => !removed.includes(id)).flatMap(expertIds);
  const gone = left.filter((id) => removed.includes(id));
  const after = left.length - gone.length;
  return gone.length === 0
    ? []
    : [
        [
          l10n.t('Experts'),
          String(all.length),
          String(after),
          `−${formatPercent(1 - after / all.length)}`,
        ],
      ];
}

/** What became of each linear layer that was compressed. */
function compressed({ layers }: CompressResult): string {
  return markdownTable(
    [
      l10n.t('Linear layer'),
      l10n.t('Method'),
      `${l10n.t('Setting')}:`,
      `${l10n.t('Parameters')}:`,
      `${l10n.t('Size')}:`,
      `${l10n.t('Error')}:`,
      `${l10n.t('Error of its outputs')}:`,
    ],
    layers.map(
      ({ tensor, method, variant, then, level, parameters, bytes, error, outputError }) => [
        `\`${tensor}\``,
        `${method} ${variant}${then === undefined ? '' : ` + ${then}`}`,
        String(level),
        formatCount(parameters),
        formatBytes(bytes),
        formatPercent(error),
        outputError === undefined ? '' : formatPercent(outputError),
      ],
    ),
  );
}

const code = (id: string): string => `\`${id}\``;

/** A heading and what stands under it; nothing where there is nothing. */
function listed(heading: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`## ${heading}`, items.map((item) => `- ${item}`).join('\n')];
}

/** What pruning or compressing wrote and how it was checked, as Markdown. */
export function pruneReport(model: ModelSummary, result: ApplyResult): string {
  const layers = 'layers' in result ? result.layers : [];
  const { removed, patched = [], narrowed = {} } = result;
  const isChanged =
    layers.length + removed.length + patched.length + Object.keys(narrowed).length > 0;
  const kept = model.sublayers.filter(({ id }) => !result.removed.includes(id));
  const change = (before: number, after: number): string =>
    before > 0 && before !== after ? formatChange(before, after) : '';
  return [
    `# ${titleOf(escapeMarkdown(model.name), result)}`,
    escapeMarkdown(result.path),
    markdownTable(
      ['', `${l10n.t('Before')}:`, `${l10n.t('After')}:`, `${l10n.t('Change')}:`],
      [
        [
          l10n.t('Parameters'),
          formatCount(result.parametersBefore),
          formatCount(result.parametersAfter),
          change(result.parametersBefore, result.parametersAfter),
        ],
        [
          l10n.t('Weights on disk'),
          formatBytes(result.bytesBefore),
          formatBytes(result.bytesAfter),
          change(result.bytesBefore, result.bytesAfter),
        ],
        [
          l10n.t('Sublayers'),
          String(model.sublayers.length),
          String(kept.length),
          change(model.sublayers.length, kept.length),
        ],
        ...experts(model, result),
      ],
    ),
    ...qualityReport(result.quality, result.verdict),
    `## ${l10n.t('Verification')}`,
    [
      localise(describeVerification(result.verification)),
      isChanged
        ? l10n.t('The plan is the original, changed in the same way in memory.')
        : l10n.t('The plan is the original.'),
    ].join(' '),
    `## ${l10n.t('How to load it')}`,
    escapeMarkdown(localise(result.loadsWith)),
    ...listed(l10n.t('Removed'), removed.map(code)),
    ...listed(
      l10n.t('Narrowed'),
      Object.entries(narrowed).map(([id, left]) =>
        l10n.t(
          '{0}: {1} left',
          code(id),
          id.endsWith('.attention') ? counts.keyHeads(left) : counts.channels(left),
        ),
      ),
    ),
    ...('layers' in result ? [`## ${l10n.t('Compressed')}`, compressed(result)] : []),
    ...listed(l10n.t('Graph modules'), patched.map(code)),
    `## ${l10n.t('Files')}`,
    markdownTable(
      [l10n.t('File'), `${l10n.t('Size')}:`],
      result.files.map((file) => [escapeMarkdown(file.name), formatBytes(file.bytes)]),
    ),
    '',
  ].join('\n\n');
}
