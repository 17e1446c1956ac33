import axe, { type AxeResults } from 'axe-core';
import type { Frame } from 'playwright-core';

/** Violations that axe finds in a webview by WCAG 2.2 A and AA: `rule: selector` for every element. */
export async function accessibilityViolations(frame: Frame): Promise<string[]> {
  const options = JSON.stringify({
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'],
    // Describing all elements that pass takes as long as checking them.
    resultTypes: ['violations'],
  });
  // Evaluated by the debugger, which the panel's content security policy does not bind.
  const violations = await frame.evaluate<AxeResults['violations']>(
    `${axe.source}; axe.run(document, ${options}).then(({ violations }) => violations);`,
  );
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target }) => `${id}: ${target.join(' ')}`),
  );
}
