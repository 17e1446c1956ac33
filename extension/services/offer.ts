import { window } from 'vscode';

/** Button of a message and its action; a promise is awaited. */
export type Action = readonly [label: string, run: () => unknown];

/** Shows a message and runs the action of the clicked button. */
export async function offer(
  message: string,
  actions: readonly Action[],
  kind: 'information' | 'warning' | 'error' = 'information',
): Promise<void> {
  const labels = actions.map(([label]) => label);
  const show = {
    information: window.showInformationMessage,
    warning: window.showWarningMessage,
    error: window.showErrorMessage,
  }[kind];
  const chosen = await show(message, ...labels);
  const [, run] = actions.find(([label]) => label === chosen) ?? [];
  await run?.();
}
