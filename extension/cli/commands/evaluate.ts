import { join } from 'node:path';
import { formatPercent } from '../../core/format';
import { evaluateModels } from '../../core/evaluate/evaluate-models';
import type { Evaluation } from '../../core/evaluate/evaluation';
import type { Command } from '../command';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { printTable } from '../table';

export const evaluate: Command = {
  name: 'evaluate',
  usage: `MODEL [--against MODEL2] --text FILE [--length 256] ${runUsage} [--json]`,
  summary: 'Measure perplexity and speed on held-out text.',
  options: {
    ...runOptionTypes,
    against: { type: 'string' },
    text: { type: 'string' },
    length: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples }) => {
    const model = args.model();
    const against = args.text('against');
    const length = args.number('length');
    const result = await evaluateModels(
      {
        model,
        removed: [],
        text: args.text('text') ?? join(samples, 'held-out.txt'),
        ...(against === undefined ? {} : { against }),
        ...(length === undefined ? {} : { length }),
        ...readRunOptions(args),
      },
      job,
    );
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
      return;
    }
    printTable(
      terminal,
      ['model', 'perplexity', 'tokens', 'tokens/s'],
      [
        [model, ...columns(result)],
        ...(result.against === undefined ? [] : [[against ?? '', ...columns(result.against)]]),
      ],
    );
    if (result.against !== undefined) {
      const change = result.against.perplexity / result.perplexity - 1;
      terminal.print(`Perplexity ${change < 0 ? '−' : '+'}${formatPercent(Math.abs(change))}`);
    }
  },
};

function columns({ perplexity, tokens, tokensPerSecond }: Evaluation): string[] {
  return [perplexity.toFixed(2), String(tokens), tokensPerSecond.toFixed(0)];
}
