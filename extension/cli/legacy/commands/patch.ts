import { join, resolve } from 'node:path';
import { formatCount } from '../../../core/format';
import { patchModel } from '../../../core/export/patching/patch-model';
import type { PatchResult } from '../../../core/export/patching/patch-model';
import { workFolder } from '../../../core/jobs/work-folder';
import { modelFormats } from '../../../core/models/opened-model';
import { readLibrary } from '../../../core/symbolic/language/library-file';
import { patchLibrary, defaultPatchLimits } from '../../../core/symbolic/patch/found-graphs';
import { defaultFitting } from '../../../core/symbolic/patch/fit-branch';
import type { PatchKind } from '../../../core/symbolic/patch/contestants';
import { calibrationOptionTypes, calibrationUsage, readCalibration } from '../calibration-options';
import type { Command } from '../command';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { printTable } from '../../table';
import type { Terminal } from '../../terminal';
import { required, wholeNumber } from '../training-options';
import { printApplied } from '../../present/applied';

const defaultText = { sequences: 128, length: 128 };

const names: Readonly<Record<PatchKind, string>> = {
  graph: 'symbolic patch',
  skip: 'nothing (skip)',
  ridge: 'linear (ridge)',
  'low-rank': 'low-rank adapter',
  mlp: 'bottleneck MLP',
  'random-graph': 'random graph',
};

const losses: Readonly<Record<PatchResult['loss'], readonly [name: string, meaning: string]>> = {
  kl: ['KL', 'nats per token to the whole model'],
  norm: ['norm', 'of the difference to what the whole model gives'],
};

export const patch: Command = {
  name: 'patch',
  usage: `MODEL --sublayer ID --out DIR [--json]
    ${calibrationUsage(defaultText)}
    [--graphs ${defaultPatchLimits.graphs}] [--programs ${defaultPatchLimits.programs}] [--library FILE]
    [--epochs ${defaultFitting.epochs}] [--rate ${defaultFitting.rate}] [--seed 0]
    [--format ${modelFormats.join('|')}] [--plan FILE] [--anyway] [--overwrite] ${runUsage}

  Fits a small symbolic module to what the sublayer adds to the stream, and as many tries of simpler things. The
  model is written with the patch where its loss beats theirs; --anyway writes it in any case. --plan writes a
  plan as well, or puts the patch into one that is there; its weights lie beside it.`,
  summary: 'Replace a sublayer by a small symbolic module, where that beats simpler things.',
  options: {
    ...calibrationOptionTypes,
    ...runOptionTypes,
    sublayer: { type: 'string' },
    out: { type: 'string' },
    graphs: { type: 'string' },
    programs: { type: 'string' },
    library: { type: 'string' },
    epochs: { type: 'string' },
    rate: { type: 'string' },
    seed: { type: 'string' },
    format: { type: 'string' },
    plan: { type: 'string' },
    anyway: { type: 'boolean' },
    overwrite: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, samples, resumeHint, open }) => {
    const out = required(args, 'out');
    const model = await open(args.model());
    const { summary } = model;
    const library = args.text('library');
    const format = args.choice('format', modelFormats, undefined);
    const plan = args.text('plan');
    resumeHint(
      `Run the same command again to go on: what is fitted is kept in ${workFolder(out, 'patch')}.`,
    );
    const result = await patchModel(
      {
        model,
        sublayer: required(args, 'sublayer'),
        text: readCalibration(args, summary.maxPositions, defaultText),
        bundledText: join(samples, 'calibration.txt'),
        library: library === undefined ? patchLibrary() : await readLibrary(resolve(library)),
        limits: {
          graphs: wholeNumber(args, 'graphs', defaultPatchLimits.graphs),
          programs: wholeNumber(args, 'programs', defaultPatchLimits.programs),
        },
        fitting: {
          ...defaultFitting,
          epochs: wholeNumber(args, 'epochs', defaultFitting.epochs),
          rate: args.number('rate') ?? defaultFitting.rate,
        },
        seed: wholeNumber(args, 'seed', 0, 0),
        out,
        ...(format === undefined ? {} : { format }),
        anyway: args.flag('anyway'),
        ...(plan === undefined ? {} : { plan }),
        overwrite: args.flag('overwrite'),
        ...readRunOptions(args),
      },
      job,
    );
    if (args.flag('json')) {
      terminal.print(JSON.stringify(result, undefined, 2));
    } else {
      printResult(terminal, result);
    }
  },
};

function printResult(terminal: Terminal, result: PatchResult): void {
  const { sublayer, standings, program, graph, accepted, written, sequences, plan } = result;
  const [loss, meaning] = losses[result.loss];
  printTable(
    terminal,
    [`in the place of ${sublayer}`, 'parameters', 'tries', 'error, ridge', 'trained', loss],
    standings.map(({ kind, parameters, tries, ridgeError, error, loss }) => [
      names[kind],
      formatCount(parameters),
      kind === 'skip' ? '–' : String(tries),
      ridgeError.toFixed(4),
      error.toFixed(4),
      loss.toPrecision(4),
    ]),
  );
  terminal.note(
    `error: ‖ŷ − y‖² / ‖y‖² of what the sublayer adds, ${sequences.validation} sequences; ${loss}: ${meaning}, ${sequences.test} other sequences; fitted to ${sequences.train}`,
  );
  terminal.print(program);
  terminal.print(`  ${graph.size} nodes, ${graph.edges.length / 2} edges`);
  terminal.print(
    accepted
      ? 'Accepted: its loss is below those of all others.'
      : 'Not accepted: something simpler does as well or better.',
  );
  if (written === null) {
    terminal.print('Nothing is written (--anyway writes it all the same).');
  } else {
    printApplied(terminal, written, false);
  }
  if (plan !== undefined) {
    terminal.note(`Plan: ${plan}`);
  }
}
