import type { Locator } from 'playwright-core';
import { patienceMilliseconds } from './patience';

/** Milliseconds after which a key or click without an effect is taken for lost. */
const lostMilliseconds = 5000;

/**
 * Repeats an action until its effect is seen: the editor loses keys and clicks that come while it renders. Repeating the
 * action has to do no harm. Nothing is done if the effect is there already.
 */
export async function until(
  action: () => Promise<unknown>,
  isSeen: () => Promise<boolean>,
): Promise<void> {
  for (const end = Date.now() + patienceMilliseconds; Date.now() < end;) {
    if (await isSeen()) return;
    await action();
    for (const lost = Date.now() + lostMilliseconds; Date.now() < lost;) {
      if (await isSeen()) return;
      await new Promise((next) => setTimeout(next, 50));
    }
  }
  throw new Error(`no effect of ${String(action)}`);
}

/** True if the keyboard is on an element. */
export const isFocused = async (element: Locator): Promise<boolean> =>
  element.evaluate((one) => one === one.ownerDocument.activeElement);
