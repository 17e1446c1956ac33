import { inEnglish, isMessage } from '../../core/message';
import type { Presenter } from '../presenter';

/** Presenter of operations whose result is a few facts: `name: value`. */
export const facts: Presenter = {
  options: {},
  print: (result, { terminal }) => {
    for (const [name, value] of Object.entries(result as object)) {
      terminal.print(`${name}: ${factText(value)}`);
    }
  },
};

function factText(value: unknown): string {
  if (isMessage(value)) {
    return inEnglish(value);
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}
