import { describeMeasured, outcomeWords } from '../../core/evaluate/requirements';
import type { Verdict } from '../../core/evaluate/requirements';
import { printTable } from '../table';
import type { Terminal } from '../terminal';

/** Prints the result of each requirement, and the overall result; nothing without requirements. */
export function printVerdict(terminal: Terminal, verdict: Verdict | undefined): void {
  if (verdict === undefined) {
    return;
  }
  terminal.print();
  printTable(
    terminal,
    ['limit', 'measured', '95 % interval', 'verdict'],
    verdict.limits.map(({ limit, measured, outcome }) => {
      const { value = '–', ends } = measured === undefined ? {} : describeMeasured(limit, measured);
      return [limit, value, ends?.join(' to ') ?? '–', outcomeWords[outcome]];
    }),
  );
  if (verdict.speed !== undefined) {
    const { before, after } = verdict.speed;
    terminal.print(
      `Speed here: ${before.toPrecision(3)} → ${after.toPrecision(3)} generated tokens per second`,
    );
  }
  terminal.print(`Verdict: ${outcomeWords[verdict.outcome]}`);
}
