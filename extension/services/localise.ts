import { l10n } from 'vscode';
import { fill, render, withoutFlags } from '../core/message';
import type { Message, Translate } from '../core/message';

const translate: Translate = l10n.t;

/** A message of the core in the editor's language. */
export const localise = (message: Message): string =>
  render(message, (pattern, ...values) => fill(withoutFlags(translate(pattern)), ...values));
