import { join } from 'node:path';
import { formatPercent } from '../../core/format';
import { evaluateModels, judgeModels } from '../../core/evaluate/evaluate-models';
import type { Evaluation } from '../../core/evaluate/evaluation';
import type { TaskResult } from '../../core/evaluate/task-accuracy';
import { patchesOfPlan } from '../../core/export/patching/planned-patches';
import { requireMadeFor } from '../../core/export/plan-schema';
import { UserError } from '../../core/user-error';
import { UsageError } from '../command';
import type { Arguments, Command, CommandContext } from '../command';
import { readNamedPlan } from '../plan-file';
import type { NamedPlan } from '../plan-file';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';
import { printTable } from '../table';

export const evaluate: Command = {
  name: 'evaluate',
  usage: `(MODEL | --plan FILE) [--against MODEL2] (--text FILE [--length 256] [--stride N] | --task FILE.jsonl)\n    ${runUsage} [--json]`,
  summary: 'Measure perplexity and speed on held-out text, or the accuracy on a task.',
  options: {
    ...runOptionTypes,
    plan: { type: 'string' },
    against: { type: 'string' },
    text: { type: 'string' },
    length: { type: 'string' },
    stride: { type: 'string' },
    task: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, context) => {
    const { terminal, job, samples } = context;
    const planned = await planOf(args, context);
    const model = planned?.model ?? args.model();
    const against = args.text('against');
    const models = {
      model: await context.open(model),
      removed: planned?.plan.remove ?? [],
      patch: planned === undefined ? [] : patchesOfPlan(planned.plan, planned.file),
      ...(against === undefined ? {} : { against: await context.open(against) }),
      ...readRunOptions(args),
    };
    const length = args.number('length');
    const stride = args.number('stride');
    const task = args.text('task');
    if (task !== undefined) {
      if (args.text('text') !== undefined || length !== undefined || stride !== undefined) {
        throw new UsageError(
          '--text, --length and --stride are for perplexity; --task goes without.',
        );
      }
      const result = await judgeModels({ ...models, task }, job);
      printTask([model, against ?? ''], args.flag('json'), context, result);
      return;
    }
    const result = await evaluateModels(
      {
        ...models,
        text: args.text('text') ?? join(samples, 'held-out.txt'),
        ...(length === undefined ? {} : { length }),
        ...(stride === undefined ? {} : { stride }),
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

/** @throws UserError for a plan of another model, and for one that compresses. */
async function planOf(args: Arguments, { open }: CommandContext): Promise<NamedPlan | undefined> {
  const file = args.text('plan');
  if (file === undefined) {
    return undefined;
  }
  const planned = await readNamedPlan(file, args);
  requireMadeFor(planned.plan, (await open(planned.model)).summary, {
    file,
    remedy: 'Profile this model again, or delete the field to evaluate the plan all the same.',
  });
  if ((planned.plan.compress ?? []).length > 0) {
    throw new UserError('What a plan compresses is only known once it is written.', {
      file,
      field: 'compress',
      remedy: 'Write the model with `espalier compress --plan`, and evaluate that.',
    });
  }
  return planned;
}

function printTask(
  [model, against]: readonly [model: string, against: string],
  asJson: boolean,
  { terminal }: CommandContext,
  result: TaskResult & { readonly against?: TaskResult },
): void {
  if (asJson) {
    terminal.print(JSON.stringify(result, undefined, 2));
    return;
  }
  const percent = (share: number | undefined, error: number | undefined): string =>
    share === undefined || error === undefined
      ? '–'
      : `${(100 * share).toFixed(1)} ± ${(100 * error).toFixed(1)} %`;
  const row = (name: string, judged: TaskResult): string[] => [
    name,
    percent(judged.acc, judged.accError),
    percent(judged.accNorm, judged.accNormError),
    judged.perplexity?.toFixed(2) ?? '–',
  ];
  terminal.print(`${result.task}: ${result.kind}, ${result.examples} examples`);
  printTable(
    terminal,
    ['model', 'acc', 'acc_norm', 'perplexity of a word'],
    [row(model, result), ...(result.against === undefined ? [] : [row(against, result.against)])],
  );
}

function columns({ perplexity, tokens, tokensPerSecond }: Evaluation): string[] {
  return [perplexity.toFixed(2), String(tokens), tokensPerSecond.toFixed(0)];
}
