import type { Page } from 'playwright-core';

/** Number of frames without a change after which a page is settled: a third of a second if nothing else runs. */
const quietFrames = 20;

/**
 * Waits until a page draws frames without changing its document. Counts frames, because a busy machine draws them more
 * slowly.
 */
export async function settled(page: Page): Promise<void> {
  await page.evaluate(async (frames) => {
    let quiet = 0;
    const observer = new MutationObserver(() => {
      quiet = 0;
    });
    observer.observe(document, {
      ...{ subtree: true, childList: true, attributes: true, characterData: true },
    });
    while (quiet < frames) {
      await new Promise(requestAnimationFrame);
      quiet += 1;
    }
    observer.disconnect();
  }, quietFrames);
}
