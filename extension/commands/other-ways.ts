import { commands, l10n, Uri } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { commandIds } from '../services/command-ids';
import type { Services } from '../services/services';
import { choose } from './questions/ask';
import { pickModel } from './target';

type Way = QuickPickItem & { readonly take: () => PromiseLike<unknown> };

/**
 * Offers alternatives for a GGUF file, which can't be repaired or use Espalier's encodings: other types, fewer blocks,
 * fewer experts.
 * @returns false if the model supports the requested action, or isn't a GGUF file
 */
export async function offerOtherWays(
  services: Services,
  path: string,
  title: string,
  asked: 'compress' | 'repair',
): Promise<boolean> {
  const { capabilities } = await services.models.inspect(path);
  const capability = capabilities[asked];
  if (capability.able || capability.code !== 'keeps-own-packing') {
    return false;
  }
  const model = Uri.file(path);
  const open = (command: string) => (): Thenable<unknown> =>
    commands.executeCommand(command, model);
  const repairOther: Way = {
    label: l10n.t('Repair another model…'),
    detail: l10n.t('A Hugging Face folder or an ONNX file. Convert the result to GGUF afterwards.'),
    take: async () => {
      const other = await pickModel(services, title, [path]);
      return other && commands.executeCommand(commandIds.repairModel, other);
    },
  };
  const ways: readonly Way[] = [
    ...(asked === 'repair' ? [repairOther] : []),
    {
      label: l10n.t('Types of the tensors…'),
      detail: l10n.t('Quantize further. Sizes and losses are listed before you choose.'),
      take: open(commandIds.makeSmaller),
    },
    {
      label: l10n.t('Blocks and sublayers…'),
      detail: l10n.t('See in the heatmap which of them can be removed, and remove them.'),
      take: open(commandIds.openHeatmap),
    },
    ...(capabilities.removeExperts.able
      ? [
          {
            label: l10n.t('Experts…'),
            detail: l10n.t('Score the experts on a text, and remove the least used ones.'),
            take: open(commandIds.scoreExperts),
          },
        ]
      : []),
  ];
  const chosen = await choose(ways, {
    title,
    placeHolder:
      asked === 'repair'
        ? l10n.t('GGUF files can’t be repaired. What do you want to do instead?')
        : l10n.t('Which part of this GGUF file should become smaller?'),
  });
  await chosen?.take();
  return true;
}
