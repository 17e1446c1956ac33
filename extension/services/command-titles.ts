import { extensions } from 'vscode';
import { commandIds } from './command-ids';
import type { CommandName } from './command-ids';

/** The title of a command in the user's language, without the dots of one that asks. */
export function commandTitle(name: CommandName): string {
  const { contributes } = (extensions.getExtension('espalier.espalier')?.packageJSON ?? {}) as {
    contributes?: { commands: readonly { readonly command: string; readonly title: Title }[] };
  };
  const found = contributes?.commands.find(({ command }) => command === commandIds[name]);
  const title = found?.title ?? '';
  return (typeof title === 'string' ? title : title.value).replace(/…$/, '');
}

/** A text in English; in other languages, the text and its original. */
type Title = string | { readonly value: string; readonly original: string };
