import type { Locator, Page } from 'playwright-core';
import { patienceMilliseconds } from './patience';
import { until } from './until';

/**
 * The file explorer, driven by keyboard: rows move when files appear, so that a click may meet another one, while the
 * focus stays with its row.
 */
export class Explorer {
  private readonly list: Locator;

  public constructor(private readonly page: Page) {
    this.list = page.locator('.explorer-folders-view .monaco-list').first();
  }

  /** Waits for a row and focuses it; the folders on the way to it are opened. */
  public async focus(...path: readonly string[]): Promise<void> {
    const end = Date.now() + patienceMilliseconds;
    while (!(await this.tryFocus(path))) {
      if (Date.now() > end) throw new Error(`the explorer has no row ${path.join('/')}`);
      await this.page.waitForTimeout(200);
    }
  }

  /** Opens a file to stay. */
  public async open(...path: readonly string[]): Promise<void> {
    await this.focus(...path);
    const tab = this.page.getByRole('tab', { name: path.at(-1) ?? '', selected: true }).first();
    // The tab may be there already, but not to stay.
    await this.list.press('Enter');
    await until(
      async () => this.list.press('Enter'),
      async () => tab.isVisible(),
    );
  }

  /** Opens the menu of a row. */
  public async openMenu(...path: readonly string[]): Promise<void> {
    const menu = this.page.locator('.monaco-menu').first();
    await until(
      async () => {
        await this.focus(...path);
        await this.list.press('Shift+F10');
      },
      async () => menu.isVisible(),
    );
  }

  /** Walks down from the first row; false where the row is not there, or not yet. */
  private async tryFocus(path: readonly string[]): Promise<boolean> {
    await this.list.press('Home');
    for (const [index, name] of path.entries()) {
      if (index > 0) {
        await this.expandFocused();
        await this.list.press('ArrowDown');
      }
      if (!(await this.walkTo(name, index + 1))) return false;
    }
    return true;
  }

  /** Moves down among the rows of one folder; whether a row of that name came. */
  private async walkTo(name: string, level: number): Promise<boolean> {
    for (let row = await this.focused(); ;) {
      if (row === undefined || row.level < level) return false;
      if (row.level === level && row.name === name) return true;
      await this.list.press('ArrowDown');
      const next = await this.focused();
      if (next === undefined || next.id === row.id) return false;
      row = next;
    }
  }

  private async expandFocused(): Promise<void> {
    await until(
      async () => this.list.press('ArrowRight'),
      async () => (await this.focused())?.expanded === 'true',
    );
  }

  private async focused(): Promise<FocusedRow | undefined> {
    return this.list.evaluate((list) => {
      const row = list.querySelector('.monaco-list-row.focused');
      return row === null
        ? undefined
        : {
            id: row.id,
            level: Number(row.getAttribute('aria-level')),
            name: row.querySelector('.label-name')?.textContent.trim() ?? '',
            expanded: row.getAttribute('aria-expanded'),
          };
    });
  }
}

interface FocusedRow {
  /** Unique for each row. */
  readonly id: string;
  readonly level: number;
  readonly name: string;
  readonly expanded: string | null;
}
