import { formatCount } from '../../core/format';
import { counted } from '../counted';
import type { PatchResult } from '../../core/pipelines/patching/patch-model';
import type { ApplyResult } from '../../core/operations/apply-plan';
import type { PatchKind } from '../../core/symbolic/patch/contestants';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { printApplied } from './applied';

const names: Readonly<Record<PatchKind, string>> = {
  graph: 'graph module',
  skip: 'nothing (skip)',
  ridge: 'linear (ridge)',
  'low-rank': 'low-rank adapter',
  mlp: 'bottleneck MLP',
  'random-graph': 'random graph',
};

const losses: Readonly<Record<PatchResult['loss'], readonly [name: string, meaning: string]>> = {
  kl: ['KL', 'nats per token to the original'],
  norm: ['norm', 'of the difference to the outputs of the original'],
};

export const patch: Presenter<PatchResult<ApplyResult>> = {
  options: {},
  print: (result, { terminal }) => {
    printResult(terminal, result);
  },
};

function printResult(terminal: Terminal, result: PatchResult<ApplyResult>): void {
  const { sublayer, standings, program, graph, accepted, written, sequences, plan } = result;
  const [loss, meaning] = losses[result.loss];
  printTable(
    terminal,
    [`instead of ${sublayer}`, 'parameters', 'tries', 'error, ridge', 'trained', loss],
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
    `error: ‖ŷ − y‖² / ‖y‖² of what the sublayer adds, ${counted(sequences.validation, 'sequence')}; ${loss}: ${meaning}, ${sequences.test} other sequences; fitted to ${sequences.train}`,
  );
  terminal.print(program);
  terminal.print(`  ${graph.size} nodes, ${graph.edges.length / 2} edges`);
  terminal.print(
    accepted
      ? 'Accepted: its loss is below those of all others.'
      : 'Not accepted: something simpler does as well or better.',
  );
  if (written === null) {
    terminal.print('Nothing is written. Use --anyway to write it all the same.');
  } else {
    printApplied(terminal, written, false);
  }
  if (plan !== undefined) {
    terminal.note(`Plan: ${plan}`);
  }
}
