import { formatBytes, formatCount } from '../../core/format';
import { locateOnnx } from '../../core/checkpoints/model-folder';
import { countForms } from '../../core/models/forms/form-spec';
import { openOnnxModel } from '../../core/models/onnx/onnx-model';
import type { SublayerSummary } from '../../core/models/model-summary';
import { openModel } from '../../core/models/open-model';
import { describeQuantization } from '../../core/models/quantization';
import type { Command } from '../command';
import { printTable } from '../table';

export const inspect: Command = {
  name: 'inspect',
  usage: 'MODEL [--json]',
  summary: 'Show the structure of a model, from its headers alone.',
  options: { json: { type: 'boolean' } },
  run: async (args, { terminal }) => {
    const onnx = await locateOnnx(args.model());
    const { summary } =
      onnx === undefined ? await openModel(args.model()) : await openOnnxModel(onnx);
    if (args.flag('json')) {
      terminal.print(JSON.stringify(summary, undefined, 2));
      return;
    }
    const { name, architecture, parameters, bytes, blocks, sublayers } = summary;
    terminal.print(
      `${name}: ${architecture}, ${formatCount(parameters)} parameters, ${formatBytes(bytes)}, ` +
        `${blocks} blocks, ${sublayers.length} sublayers`,
    );
    if ('quantization' in summary && summary.quantization !== undefined) {
      terminal.print(`quantized: ${describeQuantization(summary.quantization)}`);
    }
    if ('compressed' in summary) {
      terminal.print(`compressed: ${countForms(summary.compressed)}`);
    }
    terminal.print(`stored as: ${describeDTypes(summary.dtypes)}`);
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
        formatCount(sublayer.parameters),
        formatBytes(sublayer.bytes),
        formatCount(sublayer.flopsPerToken),
        String(sublayer.kvBytesPerToken),
        ...(hasExperts ? [describeExperts(sublayer)] : []),
      ]),
    );
    for (const warning of summary.warnings) {
      terminal.note(warning);
    }
  },
};

/** `8, 2 per token` for a mixture whose experts can be removed one by one. */
function describeExperts({ experts }: SublayerSummary): string {
  return experts === undefined ? '' : `${experts.count}, ${experts.perToken} per token`;
}

function describeDTypes(dtypes: Readonly<Record<string, number>>): string {
  return Object.entries(dtypes)
    .map(([dtype, bytes]) => `${dtype} ${formatBytes(bytes)}`)
    .join(', ');
}
