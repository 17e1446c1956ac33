import { formatBytes, formatCount } from '../../core/format';
import { openModel } from '../../core/models/open-model';
import type { Command } from '../command';
import { printTable } from '../table';

export const inspect: Command = {
  name: 'inspect',
  usage: 'MODEL [--json]',
  summary: 'Show the structure of a model, from its headers alone.',
  options: { json: { type: 'boolean' } },
  run: async (args, { terminal }) => {
    const { summary } = await openModel(args.model());
    if (args.flag('json')) {
      terminal.print(JSON.stringify(summary, undefined, 2));
      return;
    }
    const { name, architecture, parameters, bytes, blocks, sublayers } = summary;
    terminal.print(
      `${name}: ${architecture}, ${formatCount(parameters)} parameters, ${formatBytes(bytes)}, ` +
        `${blocks} blocks, ${sublayers.length} sublayers`,
    );
    printTable(
      terminal,
      ['sublayer', 'parameters', 'bytes', 'FLOPs/token', 'KV bytes/token'],
      sublayers.map((sublayer) => [
        sublayer.id,
        formatCount(sublayer.parameters),
        formatBytes(sublayer.bytes),
        formatCount(sublayer.flopsPerToken),
        String(sublayer.kvBytesPerToken),
      ]),
    );
    for (const warning of summary.warnings) {
      terminal.note(warning);
    }
  },
};
