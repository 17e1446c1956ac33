import { l10n } from 'vscode';
import { render } from '../core/message';
import type { Message } from '../core/message';

/** A message of the core in the editor's language, without the flags in brackets that say how on the command line. */
export const localise = (message: Message): string =>
  render(message, l10n.t).replaceAll(/ \(--[^()]+\)/g, '');
