import { generate } from '../../core/generate/generate';
import type { Generation } from '../../core/generate/generate';
import { UsageError } from '../command';
import type { Command } from '../command';
import { readRunOptions, runOptionTypes, runUsage } from '../run-options';

const defaultTokens = 64;

export const generateCommand: Command = {
  name: 'generate',
  usage: `MODEL --prompt TEXT [--against MODEL2] [--chat] [--tokens ${defaultTokens}]\n    [--temperature 0] [--top-k K] [--top-p P] [--seed 0] ${runUsage} [--json]`,
  summary: 'Continue a prompt, greedily or by sampling; two models side by side.',
  options: {
    ...runOptionTypes,
    prompt: { type: 'string' },
    against: { type: 'string' },
    chat: { type: 'boolean' },
    tokens: { type: 'string' },
    temperature: { type: 'string' },
    'top-k': { type: 'string' },
    'top-p': { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'boolean' },
  },
  run: async (args, { terminal, job, open }) => {
    const prompt = args.text('prompt');
    if (prompt === undefined) {
      throw new UsageError('--prompt says what to continue.');
    }
    const topK = args.number('top-k');
    const topP = args.number('top-p');
    const run = async (model: string): Promise<Generation> =>
      generate(
        {
          model: await open(model),
          removed: [],
          prompt,
          chat: args.flag('chat'),
          tokens: args.number('tokens') ?? defaultTokens,
          sampling: {
            temperature: args.number('temperature') ?? 0,
            ...(topK === undefined ? {} : { topK }),
            ...(topP === undefined ? {} : { topP }),
            seed: args.number('seed') ?? 0,
          },
          ...readRunOptions(args),
        },
        { ...job, emit: () => undefined },
      );
    const against = args.text('against');
    const result = await run(args.model());
    const other = against === undefined ? undefined : await run(against);
    if (args.flag('json')) {
      const document = other === undefined ? result : { ...result, against: other };
      terminal.print(JSON.stringify(document, undefined, 2));
      return;
    }
    for (const { model, text, tokens, tokensPerSecond, stopped } of [
      result,
      ...(other ? [other] : []),
    ]) {
      const speed = tokensPerSecond === null ? '' : `, ${tokensPerSecond.toFixed(1)} tokens/s`;
      const end = stopped === 'end' ? ', ended' : '';
      terminal.print(`${model} (${tokens} tokens${speed}${end})`);
      terminal.print(`${prompt}${text}`);
      terminal.print();
    }
  },
};
