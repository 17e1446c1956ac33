import { window } from 'vscode';

/** A button of a message, and what it does; a promise is awaited. */
export type Action = readonly [label: string, run: () => unknown];

/** Tells something, and does what is chosen then. */
export async function offer(
  message: string,
  actions: readonly Action[],
  kind: 'information' | 'error' = 'information',
): Promise<void> {
  const labels = actions.map(([label]) => label);
  const chosen =
    kind === 'error'
      ? await window.showErrorMessage(message, ...labels)
      : await window.showInformationMessage(message, ...labels);
  const [, run] = actions.find(([label]) => label === chosen) ?? [];
  await run?.();
}
