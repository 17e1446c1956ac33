import { counted } from '../counted';
import type { Latency } from '../../core/generate/latency';
import type { Presenter } from '../presenter';

export const latency: Presenter<Latency> = {
  options: {},
  print: ({ prefillMs, decodeMsPerToken, context, tokens, repeats, device }, { terminal }) => {
    terminal.print(
      `Prefill ${prefillMs.toPrecision(3)} ms (${counted(context, 'token')}, on ${device})`,
    );
    terminal.print(
      `Decode ${decodeMsPerToken.toPrecision(3)} ms per token (median of ${repeats} × ${tokens})`,
    );
  },
};
