import type { Presenter } from '../presenter';

/** Of operations whose result is a few facts: `name: value`. */
export const facts: Presenter = {
  options: {},
  print: (result, { terminal }) => {
    for (const [name, value] of Object.entries(result as object)) {
      terminal.print(`${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
    }
  },
};
