import { window } from 'vscode';

/** A button of a message, and what it does; a promise is awaited. */
export type Action = readonly [label: string, run: () => unknown];

/** Tells something, and does what is chosen then. */
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
