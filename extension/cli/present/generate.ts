import { counted } from '../counted';
import type { GenerationResult } from '../../core/operations/generate';
import type { Presenter } from '../presenter';

export const generate: Presenter<GenerationResult> = {
  options: {},
  print: ({ against, ...result }, { terminal, request }) => {
    for (const { model, text, tokens, tokensPerSecond, stopped, llamaCpp } of [
      result,
      ...(against === undefined ? [] : [against]),
    ]) {
      const speed = tokensPerSecond === null ? '' : `, ${tokensPerSecond.toFixed(1)} tokens/s`;
      const end = stopped === 'end' ? ', ended' : '';
      const runtime = llamaCpp === undefined ? '' : `, in llama.cpp ${llamaCpp}`;
      terminal.print(`${model} (${counted(tokens, 'token')}${speed}${runtime}${end})`);
      terminal.print(`${String(request['prompt'])}${text}`);
      terminal.print();
    }
  },
};
