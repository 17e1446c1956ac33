import { resolve } from 'node:path';
import { networkSizeNames } from '../../../core/symbolic/evolution/gssnn-document';
import type { EvolutionSettings } from '../../../core/symbolic/evolution/gssnn-document';
import { spreadOf } from '../../../core/symbolic/evolution/spread';
import type { Spread } from '../../../core/symbolic/evolution/spread';
import { synthesize } from '../../../core/symbolic/evolution/synthesize';
import type { SynthesisResult } from '../../../core/symbolic/evolution/synthesize';
import { moduleModes } from '../../../core/models/patch/graph-slots';
import { ravenModes } from '../../../core/symbolic/raven/raven-data';
import { formatPercent } from '../../../core/format';
import { UsageError } from '../command';
import type { Arguments, Command } from '../command';
import { printTable } from '../../table';
import type { Terminal } from '../../terminal';
import { required, wholeNumber } from '../training-options';

export const synthesizeCommand: Command = {
  name: 'synthesize',
  usage: `--out DIR [--iterations 3] [--population 12] [--keep 6] [--seed 0] [--programs 1000000]
    [--size small|paper] [--module clean|compat] [--epochs 16] [--legacy-weights] [--baselines 0]
    [--data faithful|balanced] [--data-seed 0] [--train 128] [--validation 600] [--test 600]
    [--pictures 0] [--json]`,
  summary: 'Search for symbolic modules: programs that build graphs, trained as neural networks.',
  options: {
    iterations: { type: 'string' },
    population: { type: 'string' },
    keep: { type: 'string' },
    seed: { type: 'string' },
    programs: { type: 'string' },
    size: { type: 'string' },
    module: { type: 'string' },
    epochs: { type: 'string' },
    'legacy-weights': { type: 'boolean' },
    baselines: { type: 'string' },
    data: { type: 'string' },
    'data-seed': { type: 'string' },
    train: { type: 'string' },
    validation: { type: 'string' },
    test: { type: 'string' },
    pictures: { type: 'string' },
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, version, resumeHint }) => {
    const out = resolve(required(args, 'out'));
    resumeHint(`Run the same command again to go on: what is done is kept in ${out}.`);
    const settings = readSettings(args);
    const pictures = wholeNumber(args, 'pictures', 0, 0);
    const result = await synthesize({ settings, out, pictures, version }, job);
    if (args.flag('json')) {
      const { iterations, lines, baselines, best } = result.document;
      const { metrics, ...model } = best;
      const { log, network, library } = result;
      const files = { log, network, library };
      terminal.print(
        JSON.stringify(
          { iterations, best: { ...model, ...metrics }, lines, baselines, files },
          undefined,
          2,
        ),
      );
      return;
    }
    printResult(result, terminal);
  },
};

function readSettings(args: Arguments): EvolutionSettings {
  const population = wholeNumber(args, 'population', 12);
  const keep = wholeNumber(args, 'keep', Math.ceil(population / 2));
  if (keep > population) {
    throw new UsageError(`--keep takes at most the population, which is ${population}.`);
  }
  const baselines = wholeNumber(args, 'baselines', 0, 0);
  return {
    iterations: wholeNumber(args, 'iterations', 3),
    population,
    keep,
    seed: wholeNumber(args, 'seed', 0, 0),
    programLimit: wholeNumber(args, 'programs', 1_000_000),
    size: args.choice('size', networkSizeNames, 'small'),
    mode: args.choice('module', moduleModes, 'clean'),
    epochs: wholeNumber(args, 'epochs', 16),
    legacyWeights: args.flag('legacy-weights'),
    ...(baselines === 0 ? {} : { baselines }),
    data: {
      mode: args.choice('data', ravenModes, 'faithful'),
      seed: wholeNumber(args, 'data-seed', 0, 0),
      train: wholeNumber(args, 'train', 128),
      validation: wholeNumber(args, 'validation', 600),
      test: wholeNumber(args, 'test', 600),
    },
  };
}

function printResult(
  { document, log, network, library }: SynthesisResult,
  terminal: Terminal,
): void {
  const { iterations, lines, baselines = [], best } = document;
  printTable(
    terminal,
    [
      'iteration',
      'programs',
      'graphs',
      'new',
      'replaced',
      'learned',
      'test accuracy',
      'train ~ test',
    ],
    iterations.map((record, i) => [
      String(i + 1),
      String(record.exploration.enumerated),
      String(record.exploration.total),
      String(record.exploration.added),
      String(record.exploration.replaced),
      String(record.learned.length),
      accuracy(record.spread),
      record.correlation === null ? '–' : record.correlation.toFixed(2),
    ]),
  );
  terminal.print();
  const { train, validation, test } = best.metrics;
  terminal.print(
    `Best by validation: ${best.name}, accuracy ${formatPercent(test)} on test (validation ${formatPercent(validation)}, train ${formatPercent(train)})`,
  );
  terminal.print(`  ${best.program}`);
  terminal.print(
    `Without a look at the pictures: ${formatPercent(lines.test.majority)} (always the more frequent label), ${formatPercent(lines.test.shortcut)} (1 for a shape in a shape)`,
  );
  if (baselines.length > 0) {
    const tests = baselines.map((metrics) => metrics.test);
    terminal.print(`With a dense layer in place of a graph: ${accuracy(spreadOf(tests))}`);
  }
  terminal.note(`Log: ${log}. Network: ${network}. Library of the programs: ${library}`);
}

function accuracy({ mean, deviation, least, most }: Spread): string {
  const percent = (value: number): string => (100 * value).toFixed(1);
  const spread = deviation === null ? '' : ` ± ${percent(deviation)}`;
  return `${percent(mean)}${spread} (${percent(least)}–${percent(most)})`;
}
