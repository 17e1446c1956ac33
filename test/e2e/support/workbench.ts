import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Browser, Frame, Locator, Page, Request } from 'playwright-core';
import { STAND_STILL } from '../../../scripts/lib/chromium.mjs';
import { root } from '../../../scripts/lib/repository.mjs';
import { Explorer } from './explorer';
import { patienceMilliseconds } from './patience';
import { until } from './until';

const ARTIFACTS = join(root, 'test', 'artifacts');

/** A user's hands and eyes in one window of the editor. */
export class Workbench {
  public readonly explorer: Explorer;

  private readonly hosts = new Set<string>();

  private constructor(public readonly page: Page) {
    this.explorer = new Explorer(page);
    page.on('request', (request) => {
      // The window itself asks a marketplace.
      if (isPanelRequest(request)) this.hosts.add(new URL(request.url()).hostname);
    });
  }

  /** Hosts that the panels have asked for something. */
  public get requested(): readonly string[] {
    return [...this.hosts];
  }

  public static async open(browser: Browser, address: string): Promise<Workbench> {
    const page = await browser.newPage({
      viewport: { width: 1440, height: 900 },
      // Without this, Playwright reports that motion is allowed, regardless of Chromium's own flag.
      reducedMotion: 'reduce',
    });
    page.setDefaultTimeout(patienceMilliseconds);
    await page.addInitScript(STAND_STILL);
    const workbench = new Workbench(page);
    await page.goto(address);
    await workbench.ready();
    return workbench;
  }

  /** Waits until the workbench is drawn and its extensions are known. */
  public async ready(): Promise<void> {
    await this.page
      .locator('.monaco-workbench .explorer-folders-view .monaco-list-row')
      .first()
      .waitFor();
    await this.page.locator('.monaco-workbench .statusbar-item').first().waitFor();
  }

  /** Until the extension is known, its files are opened as text. */
  public async extensionKnown(): Promise<void> {
    await this.sideBarIcon('Espalier').waitFor();
  }

  /** Opens the views of an activity bar icon; the side bar shows those of one icon at a time. */
  public async showSideBar(name: 'Explorer' | 'Espalier'): Promise<void> {
    await this.sideBarIcon(name).click();
    await this.page.locator('.sidebar .composite.title', { hasText: name }).waitFor();
  }

  private sideBarIcon(name: string): Locator {
    return this.page.locator(`.activitybar .action-label[aria-label^="${name}"]`).first();
  }

  /** Restarts the window with a language of the extension; the workbench's own texts are in a language pack. */
  public async speak(language: string): Promise<void> {
    await this.page.addInitScript((name) => {
      Object.assign(globalThis, { _VSCODE_NLS_LANGUAGE: name });
    }, language);
    await this.page.reload();
    await this.extensionKnown();
  }

  public async reload(): Promise<void> {
    await this.page.reload();
    await this.ready();
  }

  /**
   * Waits until what the editor remembers is stored: an editor in a browser does so every five seconds, when it is idle.
   * A headless page that draws nothing is never told that it is.
   */
  public async storageWritten(): Promise<void> {
    await this.page.evaluate(async () => {
      const end = performance.now() + 6000;
      while (performance.now() < end) {
        await new Promise(requestAnimationFrame);
        await new Promise((next) => setTimeout(next, 100));
      }
    });
  }

  public async close(): Promise<void> {
    await this.page.close();
  }

  /** Runs a command by its palette title, such as `Espalier: Profile Layers`. */
  public async runCommand(title: string): Promise<void> {
    const end = Date.now() + patienceMilliseconds;
    for (;;) {
      await this.#typeCommand(title);
      try {
        // A window that is still starting may close the palette before the click.
        await this.quickPick(title).click({ timeout: 10_000 });
        return;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
  }

  /** A window that is still starting may close the palette again. */
  async #typeCommand(text: string): Promise<void> {
    const input = this.quickInput();
    const end = Date.now() + patienceMilliseconds;
    for (;;) {
      if (!(await input.isVisible())) await this.page.keyboard.press('F1');
      try {
        await input.fill(`>${text}`, { timeout: 5000 });
        return;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
  }

  /** The titles the palette offers for a text. */
  public async commandTitles(text: string): Promise<string[]> {
    await this.#typeCommand(text);
    const rows = this.page.locator('.quick-input-list .monaco-list-row');
    await rows.first().waitFor();
    const titles = await rows.locator('.monaco-icon-label .label-name').allTextContents();
    await this.page.keyboard.press('Escape');
    return titles;
  }

  /** The text field of the quick input that is open. */
  public quickInput(): Locator {
    return this.page.locator('.quick-input-widget input.input').first();
  }

  /**
   * The text of the clipboard, pasted into the palette. Empty when the key was lost, or when the editor has not written
   * the clipboard yet, so poll for the text.
   */
  public async pastedText(): Promise<string> {
    const input = this.quickInput();
    if (!(await input.isVisible())) await this.page.keyboard.press('F1');
    await input.fill('', { timeout: 5000 });
    await input.press('Control+V');
    await new Promise((next) => setTimeout(next, 100));
    const text = await input.inputValue();
    await this.page.keyboard.press('Escape');
    return text;
  }

  /** Takes what an input box holds. */
  public async acceptValue(value: string): Promise<void> {
    const input = this.quickInput();
    await this.#acceptWhile(
      async () => (await input.isVisible()) && (await input.inputValue()) === value,
    );
  }

  /** Takes what the input box holds that asks so. */
  public async accept(prompt: string): Promise<void> {
    await this.#acceptWhile(async () => this.inputBox(prompt).isVisible());
  }

  /** A key that comes before the box has the focus is lost. */
  async #acceptWhile(isAsked: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + patienceMilliseconds;
    let wasAsked = false;
    for (;;) {
      const isThere = await isAsked();
      if (wasAsked && !isThere) return;
      if (Date.now() > end) throw new Error('the input box is not there, or does not close');
      if (isThere) {
        await this.quickInput().press('Enter');
        wasAsked = true;
      }
      await this.page.waitForTimeout(300);
    }
  }

  /** The input box whose prompt says so: a quick pick that is about to close may hold the same words in its rows. */
  public inputBox(prompt: string): Locator {
    return this.page.locator('.quick-input-widget .quick-input-message', { hasText: prompt });
  }

  /** A row of the quick pick that is open. */
  public quickPick(label: string): Locator {
    return this.page
      .locator('.quick-input-list .monaco-list-row')
      .filter({ has: this.page.locator('.label-name', { hasText: exactly(label) }) })
      .first();
  }

  /** Picks the first row of a list that a label finds, by typing: rows may move under a click. */
  public async typePick(label: string): Promise<void> {
    const row = this.quickPick(label);
    await row.waitFor();
    await this.quickInput().fill(label);
    await row.and(this.page.locator('.focused')).waitFor();
    await this.#enterWhile(row);
  }

  /** Accepts the quick input and waits until its question disappears: the next may hold the same text. */
  async #enterWhile(asked: Locator): Promise<void> {
    await until(
      async () => this.page.keyboard.press('Enter'),
      async () => !(await asked.isVisible()),
    );
  }

  /** Answers the input box that asks so by typing. */
  public async answer(prompt: string, text: string): Promise<void> {
    const asked = this.inputBox(prompt);
    await asked.waitFor();
    const input = this.quickInput();
    await input.waitFor();
    await input.fill(text);
    await this.#enterWhile(asked);
  }

  /** Chooses a file of the folder that the dialog with a title begins in. */
  public async chooseFile(title: string, path: string): Promise<void> {
    const asked = this.page.locator('.quick-input-title', { hasText: title });
    await asked.waitFor();
    // While the folder is read, what is typed is replaced by its path.
    await this.quickPick(basename(path)).waitFor();
    await this.quickInput().fill(path);
    await this.#enterWhile(asked);
  }

  /** Opens the menu of a row of the explorer and chooses an entry; further labels choose from the submenus. */
  public async explorerMenu(path: readonly string[], ...labels: readonly string[]): Promise<void> {
    for (const end = Date.now() + patienceMilliseconds; ;) {
      await this.openExplorerMenu(path, labels[0]);
      try {
        for (const label of labels) await this.clickMenuItem(label);
        return;
      } catch (error) {
        // A menu closes when the explorer redraws its rows.
        if (Date.now() > end) throw error;
        await this.closeMenus();
      }
    }
  }

  /** Reopens the menu of a row until it has the entry, which the extension may bring a moment after its start. */
  private async openExplorerMenu(path: readonly string[], entry = ''): Promise<void> {
    for (const end = Date.now() + patienceMilliseconds; Date.now() < end;) {
      await this.explorer.openMenu(...path);
      await this.page.waitForTimeout(200);
      if (await this.menuItem(entry).isVisible()) return;
      await this.closeMenus();
      await this.page.waitForTimeout(1000);
    }
    throw new Error(`the menu of ${path.join('/')} has no entry ${entry}`);
  }

  public async closeMenus(): Promise<void> {
    for (const menus = this.page.locator('.monaco-menu'); (await menus.count()) > 0;) {
      await this.page.keyboard.press('Escape');
      await this.page.waitForTimeout(100);
    }
  }

  /** Menus ignore a click that comes right after they open: clicks until the menu answers. */
  private async clickMenuItem(label: string): Promise<void> {
    const item = this.menuItem(label);
    await item.waitFor({ timeout: 5_000 });
    const menus = await this.page.locator('.monaco-menu').count();
    for (let attempt = 0; attempt < 10; attempt++) {
      await item.hover({ timeout: 5_000 });
      await this.page.waitForTimeout(200);
      await item.click({ timeout: 5_000 });
      await this.page.waitForTimeout(100);
      if ((await this.page.locator('.monaco-menu').count()) !== menus) return;
    }
    throw new Error(`the menu entry ${label} does not answer`);
  }

  /** An entry of the menu that is open. */
  public menuItem(label: string): Locator {
    return this.page
      .locator('.monaco-menu .action-item')
      .filter({ has: this.page.locator('.action-label', { hasText: exactly(label) }) })
      .last();
  }

  public tab(title: string | RegExp): Locator {
    return this.page.getByRole('tab', { name: title }).first();
  }

  public notification(text: string | RegExp): Locator {
    return this.page.locator('.notifications-toasts .notification-list-item', { hasText: text });
  }

  public dialog(): Locator {
    return this.page.locator('.monaco-dialog-box');
  }

  public statusBarItem(text: string | RegExp): Locator {
    return this.page.locator('.statusbar-item', { hasText: text });
  }

  /**
   * The document inside the webview whose content has the selector. Frames are looked up at each call, since a theme
   * change keeps them but a reload of the window does not.
   */
  public async webview(
    selector: string,
    timeoutMilliseconds = patienceMilliseconds,
  ): Promise<Frame> {
    const end = Date.now() + timeoutMilliseconds;
    while (Date.now() < end) {
      for (const outerFrame of await this.page.locator('iframe.webview.ready').elementHandles()) {
        const frame = await (
          await outerFrame.contentFrame()
        )
          ?.waitForSelector('#active-frame', { state: 'attached', timeout: 2000 })
          .then((inner) => inner.contentFrame())
          .catch(() => null);
        if (
          frame &&
          (await frame
            .locator(selector)
            .count()
            .catch(() => 0)) > 0
        )
          return frame;
      }
      await this.page.waitForTimeout(100);
    }
    throw new Error(`no webview shows ${selector}`);
  }

  /** Saves what the window shows as test/artifacts/NAME.png. */
  /** The report of a result, by its title. */
  public async report(title: string): Promise<Frame> {
    await this.tab(`Report: ${title}`).waitFor();
    return this.webview(`.header h1:has-text("${title}")`);
  }

  public async screenshot(name: string): Promise<void> {
    await mkdir(ARTIFACTS, { recursive: true });
    await this.page.screenshot({ path: join(ARTIFACTS, `${name}.png`) });
  }
}

function exactly(text: string): RegExp {
  return new RegExp(
    `^\\s*${text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '(…|\\.\\.\\.)')}\\s*$`,
  );
}

/** True if a panel requests a host and the editor doesn't answer from its own files. */
function isPanelRequest(request: Request): boolean {
  const { hostname } = new URL(request.url());
  if (hostname === '' || hostname.endsWith('.vscode-resource.vscode-cdn.net')) return false;
  // The first request of a frame, and those of service workers, have no frame that could be told.
  return (
    request.isNavigationRequest() ||
    request.serviceWorker() !== null ||
    request.frame().parentFrame() !== null
  );
}
