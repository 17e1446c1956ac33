import { window } from 'vscode';
import type { InputBoxOptions, QuickPickItem, QuickPickOptions } from 'vscode';

/**
 * Every question stays when something else takes the focus: behind the palette or another question the editor may get
 * it back only once the question is there, and the question or what was typed would be lost. Escape closes it.
 */
const stays = { ignoreFocusOut: true } as const;

type Choices = QuickPickOptions & { readonly title: string };

/** Asks for a line of text. */
export async function askText(options: InputBoxOptions): Promise<string | undefined> {
  return window.showInputBox({ ...stays, ...options });
}

/** Asks for one of several rows. */
export async function choose<Item extends QuickPickItem>(
  items: readonly Item[],
  options: Choices,
): Promise<Item | undefined> {
  return window.showQuickPick(items, { ...stays, ...options });
}

/** Asks for any number of rows. */
export async function chooseMany<Item extends QuickPickItem>(
  items: readonly Item[],
  options: Choices,
): Promise<readonly Item[] | undefined> {
  return window.showQuickPick(items, { ...stays, ...options, canPickMany: true });
}
