import { join, resolve } from 'node:path';
import { cp, mkdir } from 'node:fs/promises';
import { defaultDocumentPath } from '../../../core/document-names';
import { evaluateModels } from '../../../core/evaluate/evaluate-models';
import type { Evaluation } from '../../../core/evaluate/evaluation';
import { applyPlan } from '../../../core/export/apply-plan';
import { writeDocument } from '../../../core/jobs/write-document';
import { profileModel } from '../../../core/prune/profile-model';
import { defaultCalibration } from '../../../core/data/calibration-defaults';
import { defaultSettings } from '../../../core/prune/options';
import type { Command } from '../command';
import { journalPath } from '../paths';
import { readRunOptions, runOptionTypes } from '../run-options';
import { printTable } from '../../table';
import { planOf } from '../../../core/operations/choose-removal';
import { printProfile } from '../../present/profile';
import { printApplied } from '../../present/applied';

const sampleName = 'espalier-sample';

/** What `npm start` shows: the whole way from a model to a smaller one. */
export const demo: Command = {
  name: 'demo',
  usage: '--out DIR',
  summary: 'Profile and prune the bundled sample model, and measure what that cost.',
  options: { ...runOptionTypes, out: { type: 'string' } },
  run: async (args, context) => {
    const { terminal, job, samples, version } = context;
    const folder = resolve(args.text('out') ?? 'espalier-demo');
    const run = readRunOptions(args);
    const model = join(folder, sampleName);
    await mkdir(folder, { recursive: true });
    await cp(join(samples, sampleName), model, { recursive: true });
    const opened = await context.open(model);
    terminal.print(`Profiling ${model}`);
    const out = defaultDocumentPath('layerProfile', model);
    const profile = await profileModel(
      {
        model: opened,
        calibration: defaultCalibration,
        settings: defaultSettings,
        ...run,
        out,
        journal: await journalPath(out, opened.summary),
      },
      { bundledText: join(samples, 'calibration.txt'), version },
      job,
    );
    printProfile(profile, terminal);
    const plan = { ...planOf(profile, model), model: { path: sampleName } };
    await writeDocument(defaultDocumentPath('plan', model), plan);

    terminal.print();
    terminal.print('Pruning a quarter of the sublayers');
    const pruned = join(folder, `${sampleName}-pruned`);
    const result = await applyPlan(
      { model: opened, plan, out: pruned, format: 'safetensors', overwrite: true, ...run },
      job,
    );
    printApplied(terminal, result, false);

    terminal.print();
    terminal.print('Held-out text, from documents that neither training nor calibration has seen');
    const text = join(samples, 'held-out.txt');
    const original = await evaluateModels(
      { model: opened, removed: [], against: await context.open(pruned), text, ...run },
      job,
    );
    const row = (name: string, { perplexity, tokens, tokensPerSecond }: Evaluation): string[] => [
      name,
      perplexity.toFixed(2),
      String(tokens),
      tokensPerSecond.toFixed(0),
    ];
    printTable(
      terminal,
      ['model', 'perplexity', 'tokens', 'tokens/s'],
      [
        row('before', original),
        ...(original.against === undefined ? [] : [row('after', original.against)]),
      ],
    );
    terminal.print();
    terminal.print(`The smaller model: ${pruned}`);
  },
};
