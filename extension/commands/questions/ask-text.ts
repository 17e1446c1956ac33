import { window } from 'vscode';
import type { InputBoxOptions } from 'vscode';

/**
 * Asks for a line of text. The question stays when something else takes the focus: behind a quick pick the editor
 * may get it back only once the question is there, and what was typed would be lost.
 */
export async function askText(options: InputBoxOptions): Promise<string | undefined> {
  return window.showInputBox({ ignoreFocusOut: true, ...options });
}
