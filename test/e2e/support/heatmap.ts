import type { Frame, Locator } from 'playwright-core';
import type { Workbench } from './workbench';

/** The heatmap panel as a user sees it. Find it again after a window reload. */
export class Heatmap {
  private constructor(public readonly frame: Frame) {}

  /** @param model names it where several are open */
  public static async find(workbench: Workbench, model = ''): Promise<Heatmap> {
    const title = `h1:has-text("${model}")`;
    return new Heatmap(await workbench.webview(`main:has(${title}) [role="gridcell"]`));
  }

  public button(name: string): Locator {
    return this.frame.getByRole('button', { name, exact: true });
  }

  public cell(sublayer: string): Locator {
    return this.frame.locator(`[role="gridcell"][data-id="${sublayer}"]`);
  }

  /** Cells of a status, such as `measured`, or all. */
  public cells(status?: string): Locator {
    const chosen = status === undefined ? '' : `[data-status="${status}"]`;
    return this.frame.locator(`[role="gridcell"][data-id]${chosen}`);
  }

  /** Cells marked for removal. */
  public get removed(): Locator {
    return this.frame.locator('[role="gridcell"][data-mark="removed"]');
  }

  public get slider(): Locator {
    return this.frame.getByRole('slider', { name: 'Sublayers removed' });
  }

  /** The line that says what runs, or how the last job ended. */
  public get job(): Locator {
    return this.frame.getByRole('region', { name: 'Job' });
  }

  /** Value and remark of a tile below the slider. */
  public tile(name: string): Locator {
    return this.frame.locator('.tile', { has: this.frame.getByText(name, { exact: true }) });
  }

  /** Distance of the selection, as the tile below the slider rounds it. */
  public async distance(): Promise<number> {
    return Number(await this.tile('Distance').locator('.tile-value').textContent());
  }

  /** Rows of the table of sublayers. */
  public get rows(): Locator {
    return this.frame.locator('.candidate-table tbody tr');
  }

  /** Waits until the search has told some of its numbers and not yet all. */
  public async partlyMeasured(): Promise<{ measured: number; pending: number }> {
    const counts = await this.frame.waitForFunction(
      () => {
        const cells = [...document.querySelectorAll('[role="gridcell"][data-id]')];
        const measured = cells.filter((cell) => cell.getAttribute('data-status') === 'measured');
        const pending = cells.length - measured.length;
        return measured.length > 0 && pending > 0 ? { measured: measured.length, pending } : false;
      },
      undefined,
      // Not at each frame, which would be drawn for it.
      { polling: 50 },
    );
    return (await counts.jsonValue()) || { measured: 0, pending: 0 };
  }

  /** Waits until no job runs and the profile is whole. */
  public async finished(): Promise<void> {
    // Folded under Details.
    await this.frame.getByText(/^(adaptive|exact), /).waitFor({ state: 'attached' });
    await this.job.waitFor({ state: 'hidden' });
  }
}
