import { formatBytes, formatCount } from '../../core/format';
import { counted } from '../counted';
import { describeGrid } from '../../core/inspect/source-grid';
import { countForms } from '../../core/models/encodings/encoding-spec';
import { listRefusals } from '../../core/models/capabilities';
import type { SublayerSummary } from '../../core/models/model-summary';
import type { Inspection } from '../../core/operations/inspect';
import { describeQuantization } from '../../core/models/quantized/quantization';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import { inEnglish } from '../../core/message';
import type { Message } from '../../core/message';

export const inspect: Presenter<Inspection> = {
  options: {},
  print: (summary, { terminal }) => {
    const { name, architecture, parameters, bytes, blocks, encoderBlocks, sublayers } = summary;
    const towers =
      encoderBlocks === undefined
        ? ''
        : ` (${encoderBlocks} of the encoder, ${blocks - encoderBlocks} of the decoder)`;
    terminal.print(
      `${name}: ${architecture}, ${formatCount(parameters)} parameters, ${formatBytes(bytes)}, ` +
        `${counted(blocks, 'block')}${towers}, ${counted(sublayers.length, 'sublayer')}`,
    );
    if (summary.quantization !== undefined) {
      terminal.print(`quantized: ${describeQuantization(summary.quantization)}`);
    }
    if (summary.compressed !== undefined) {
      terminal.print(`compressed: ${countForms(summary.compressed)}`);
    }
    terminal.print(`stored as: ${describeDTypes(summary.dtypes)}`);
    if (summary.grid?.isStored === false) {
      terminal.print(inEnglish(describeGrid(summary.grid)));
    }
    for (const { name: file, bytes: size, types } of summary.projectors ?? []) {
      const kind = types.length === 0 ? '' : ` of type ${types.join(', ')}`;
      terminal.print(`projector${kind}: ${file}, ${formatBytes(size)}`);
    }
    const hasExperts = sublayers.some(({ experts }) => experts !== undefined);
    printTable(
      terminal,
      [
        'sublayer',
        'parameters',
        'bytes',
        'FLOPs/token',
        'KV bytes/token',
        ...(hasExperts ? ['experts'] : []),
      ],
      sublayers.map((sublayer) => [
        sublayer.id,
        describeParameters(sublayer),
        formatBytes(sublayer.bytes),
        formatCount(sublayer.flopsPerToken),
        String(sublayer.kvBytesPerToken),
        ...(hasExperts ? [describeExperts(sublayer)] : []),
      ]),
    );
    const notes = new Set([...summary.warnings, ...refusalsIn(summary)].map(inEnglish));
    for (const note of notes) {
      // A warning may be the first sentence of a refusal, which adds what to do.
      if (![...notes].some((other) => other !== note && other.startsWith(note))) {
        terminal.note(note);
      }
    }
  },
};

/** Reasons why operations cannot run on the model, without duplicates. */
function refusalsIn({ capabilities }: Inspection): Message[] {
  if (capabilities === undefined) {
    return [];
  }
  const { run, evaluate, compress, patch } = listRefusals(capabilities);
  return [run, evaluate, compress, patch].filter((line) => line !== undefined);
}

/** `12.3 K, 98.5 K shared` where other sublayers use some of its matrices too. */
function describeParameters({ parameters, sharedWeights }: SublayerSummary): string {
  return sharedWeights === undefined
    ? formatCount(parameters)
    : `${formatCount(parameters)}, ${formatCount(sharedWeights)} shared`;
}

/** Number of experts, such as `8, 2 per token`, if experts can be removed one by one. */
function describeExperts({ experts }: SublayerSummary): string {
  return experts === undefined ? '' : `${experts.count}, ${experts.perToken} per token`;
}

function describeDTypes(dtypes: Readonly<Record<string, number>>): string {
  return Object.entries(dtypes)
    .map(([dtype, bytes]) => `${dtype} ${formatBytes(bytes)}`)
    .join(', ');
}
