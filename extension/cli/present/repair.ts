import { formatBytes, formatCount, formatPercent } from '../../core/format';
import type { Repaired } from '../../core/operations/repair';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { printVerdict } from './verdict';

export const repair: Presenter<Repaired> = {
  options: {},
  print: (result, { terminal, request }) => {
    printResult(terminal, result, request['train']);
  },
};

function printResult(terminal: Terminal, result: Repaired, trained: unknown): void {
  const { slices, learned, unit, lossBefore, lossAfter, written } = result;
  if (slices.length > 0) {
    printTable(
      terminal,
      ['sublayer', 'error before', 'after', 'epochs', ''],
      slices.map(({ sublayer, repaired, errorBefore, errorAfter, epochs }) => [
        sublayer,
        errorBefore.toExponential(2),
        errorAfter.toExponential(2),
        String(epochs),
        repaired ? 'repaired' : 'as before',
      ]),
    );
  }
  const { train, tokens, passes, heldOut } = learned;
  const text =
    tokens === 0 ? `${train} examples` : `${formatCount(tokens)} tokens in ${train} sequences`;
  terminal.print(`Learned from ${text}, ${heldOut} held out. Passes at most: ${passes}`);
  const lossReduction = 1 - lossAfter / lossBefore;
  const [name, words] =
    unit === 'nats' ? ['KL', ' nats per token'] : ['‖ŷ − y‖² / ‖y‖² of outputs', ''];
  terminal.print(
    `Held-out ${name} to the original: ${lossBefore.toPrecision(4)} → ${lossAfter.toPrecision(4)}${words}${written === null ? '' : ` (${formatPercent(lossReduction)} less)`}`,
  );
  terminal.print(
    written === null
      ? `The model is no better than before, so nothing is written. Try more text${trained === 'routers' ? '' : ' or --train all'}.`
      : `${written.path} (${formatBytes(written.bytesAfter)})`,
  );
  printVerdict(terminal, result.verdict);
}
