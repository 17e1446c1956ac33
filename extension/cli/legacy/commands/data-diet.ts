import { resolve } from 'node:path';
import { runDiet } from '../../../core/datadiet/diet-experiment';
import type { DietResult, DietRow, ScoreChoice } from '../../../core/datadiet/diet-experiment';
import { scoreKinds } from '../../../core/datadiet/score-document';
import { policies } from '../../../core/datadiet/selection';
import { formatPercent } from '../../../core/format';
import { writeDocument } from '../../../core/jobs/write-document';
import { UsageError } from '../command';
import type { Arguments, Command } from '../command';
import type { Terminal } from '../../terminal';
import { printTable } from '../../table';
import {
  readDatasetOptions,
  readProcesses,
  readProxy,
  readTraining,
  required,
  trainingOptionTypes,
  trainingUsage,
  wholeNumber,
} from '../training-options';

export const dataDiet: Command = {
  name: 'data-diet',
  usage: `--data DIR [--test DIR] --model mlp|cnn|resnet|FILE.onnx --out FILE
    [--score el2n@3,grand@0,…] [--runs 10] [--keep 0.5,0.2] [--policy max,window] [--offset 0.1,…]
    [--epochs 3] [--seeds 3] [--iso steps|epochs] [--noise 0.1] [--noise-seed 0] [--unbalanced]
    ${trainingUsage} [--json]`,
  summary:
    'Compare training on the highest-scoring examples with random subsets and the full data set.',
  options: {
    ...trainingOptionTypes,
    test: { type: 'string' },
    score: { type: 'string', multiple: true },
    runs: { type: 'string' },
    keep: { type: 'string', multiple: true },
    policy: { type: 'string', multiple: true },
    offset: { type: 'string', multiple: true },
    epochs: { type: 'string' },
    seeds: { type: 'string' },
    iso: { type: 'string' },
    noise: { type: 'string' },
    'noise-seed': { type: 'string' },
    unbalanced: { type: 'boolean' },
    out: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples, resumeHint }) => {
    const out = resolve(required(args, 'out'));
    const folder = `${out}.runs`;
    resumeHint(`Run the same command again to go on: what is done is kept in ${folder}.`);
    const test = args.text('test');
    const rate = args.number('noise');
    const result = await runDiet(
      {
        data: resolve(required(args, 'data')),
        options: readDatasetOptions(args),
        ...(test === undefined ? {} : { test: resolve(test) }),
        proxy: readProxy(args, samples),
        scores: readScoreChoices(args),
        runs: wholeNumber(args, 'runs', 10),
        keep: numbers(args, 'keep', [0.5, 0.2]),
        policies: readPolicies(args),
        offsets: numbers(args, 'offset', [0, 0.05, 0.1, 0.2, 0.3]),
        balanced: !args.flag('unbalanced'),
        epochs: wholeNumber(args, 'epochs', 3),
        seeds: wholeNumber(args, 'seeds', 3),
        iso: args.choice('iso', ['steps', 'epochs'], 'steps'),
        training: readTraining(args),
        ...(rate === undefined
          ? {}
          : { noise: { rate, seed: wholeNumber(args, 'noise-seed', 0, 0) } }),
        folder,
      },
      job,
      readProcesses(args),
    );
    await writeDocument(out, result);
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
    } else {
      printResult(result, terminal);
      terminal.note(`Result: ${out}`);
    }
  },
};

function readScoreChoices(args: Arguments): ScoreChoice[] {
  const texts = args.texts('score');
  return (texts.length === 0 ? ['el2n@3'] : texts).map((text) => {
    const [name, epoch] = text.split('@');
    const kind = scoreKinds.find((known) => known === name);
    if (kind === undefined || !/^\d+$/.test(epoch ?? '')) {
      throw new UsageError(
        `--score takes one of ${scoreKinds.join(', ')} and an epoch, such as el2n@3, not "${text}".`,
      );
    }
    return { kind, epoch: Number(epoch) };
  });
}

function readPolicies(args: Arguments): ('max' | 'window')[] {
  const texts = args.texts('policy');
  return (texts.length === 0 ? ['max', 'window'] : texts)
    .filter((text) => text !== 'random')
    .map((text) => {
      if (text !== 'max' && text !== 'window') {
        throw new UsageError(`--policy takes ${policies.join(', ')}, not "${text}".`);
      }
      return text;
    });
}

/** Numbers between 0 and 1, apart by commas. */
function numbers(args: Arguments, name: string, fallback: readonly number[]): readonly number[] {
  const texts = args.texts(name);
  return texts.length === 0
    ? fallback
    : texts.map((text) => {
        const value = Number(text);
        if (text.trim() === '' || !(value >= 0 && value <= 1)) {
          throw new UsageError(`--${name} takes shares between 0 and 1, not "${text}".`);
        }
        return value;
      });
}

function printResult(result: DietResult, terminal: Terminal): void {
  const { scorings, sweeps, rows, request } = result;
  for (const { choice, interRunSpearman, seconds, noiseAuroc, notes } of scorings) {
    const agreement = interRunSpearman === null ? '' : `, Spearman ${interRunSpearman.toFixed(3)}`;
    const noise =
      noiseAuroc === undefined ? '' : `, AUROC of flipped labels ${noiseAuroc.toFixed(3)}`;
    terminal.print(`${choice}: ${request.runs} runs${agreement}, ${seconds.toFixed(1)} s${noise}`);
    notes.slice(1).forEach((note) => {
      terminal.print(`  ${note}`);
    });
  }
  for (const { choice, keep, chosen, validated, seconds } of sweeps) {
    terminal.print(
      `${choice}, keep ${keep}: of ${validated.length} windows the one behind ${chosen} validates best (${seconds.toFixed(1)} s)`,
    );
  }
  terminal.print();
  printTable(
    terminal,
    ['trained on', 'examples', 'steps', 'test accuracy', 'wrong labels', 'seconds'],
    rows.map((row) => [
      describe(row),
      `${row.examples} (${formatPercent(row.keep)})`,
      String(row.steps),
      accuracy(row),
      row.wrongLabels === undefined ? '–' : formatPercent(row.wrongLabels),
      row.seconds.toFixed(1),
    ]),
  );
  const same = request.iso === 'steps' ? 'as many steps' : 'as many epochs';
  terminal.print(
    `Each is trained for ${same} as the whole, from ${request.seeds} seeds; seconds are of all seeds and do not count scoring.`,
  );
}

function describe({ choice, policy, offset }: DietRow): string {
  return policy === undefined || policy === 'random'
    ? choice
    : `${choice} ${policy}${offset === undefined ? '' : ` behind ${offset}`}`;
}

function accuracy({ mean, deviation }: DietRow): string {
  const percent = (100 * mean).toFixed(2);
  return deviation === undefined ? percent : `${percent} ± ${(100 * deviation).toFixed(2)}`;
}
