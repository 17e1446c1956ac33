import { basename, extname, join } from 'node:path';
import { documentNames } from '../../../core/document-names';
import { defaultCalibration } from '../../../core/data/calibration-defaults';
import { scoreText } from '../../../core/datadiet/score-text';
import { defaultTextPolicy, textPolicies } from '../../../core/data/text-scores';
import type { Command } from '../command';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { printTable } from '../../table';

/** Scores shown of each end. */
const shown = 5;

export const scoreTextCommand: Command = {
  name: 'score-text',
  usage: `MODEL [--text FILE] [--length ${defaultCalibration.length}] [--windows N] ${runUsage}\n    [--out FILE] [--json]`,
  summary: 'Score how hard each window of a text is for a language model (EL2N per token).',
  options: {
    ...runOptionTypes,
    text: { type: 'string' },
    length: { type: 'string' },
    windows: { type: 'string' },
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples, version, resumeHint, open }) => {
    const model = await open(args.model());
    const { summary } = model;
    const file = args.text('text');
    const windows = args.number('windows');
    const text = file ?? 'calibration';
    const out =
      args.text('out') ??
      `${basename(text, extname(text))}.${summary.name}${documentNames.textScores.suffix}`;
    resumeHint('Run the same command again to go on.');
    const result = await scoreText(
      {
        model,
        ...(file === undefined ? {} : { file }),
        ...(windows === undefined ? {} : { windows }),
        length:
          args.number('length') ??
          Math.min(defaultCalibration.length, summary.maxPositions ?? Number.POSITIVE_INFINITY),
        ...readRunOptions(args),
        out,
      },
      { bundledText: join(samples, 'calibration.txt'), version },
      job,
    );
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
      return;
    }
    const { scores, definition } = result;
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    const order = scores.map((_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
    const ends = [...new Set([...order.slice(0, shown), ...order.slice(-shown)])];
    terminal.print(`${definition}; ${scores.length} windows, mean ${mean.toFixed(4)}`);
    terminal.print();
    printTable(
      terminal,
      ['window', 'score'],
      ends.map((i) => [String(i).padStart(6), (scores[i] ?? 0).toFixed(4)]),
    );
    terminal.print(
      `profile and prune take ${textPolicies.join(', ')} of them with --calibration-scores (default ${defaultTextPolicy}).`,
    );
    terminal.note(`Scores: ${out}`);
  },
};
