import { l10n, QuickPickItemKind } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { LayoutName } from '../../core/export/hugging-face/layouts';
import type { CheckedOutput, OutputTarget } from '../../core/export/output-options';
import { outputFormats } from '../../core/export/output-formats';
import { choose } from './ask';
import { formatRows } from './format-rows';
import { localise } from '../../services/localise';

interface FormatItem extends QuickPickItem {
  /** Absent from separators and from *More formats…*. */
  readonly answer?: CheckedOutput;
}

/**
 * Asks for the format to write: two recommended rows, and under *More formats…* the others, and those that cannot
 * express the changes, with the reason. A single format is used without a question. If there is none, the reasons are
 * shown immediately.
 */
export async function chooseFormat(
  title: string,
  answers: readonly CheckedOutput[],
): Promise<OutputTarget | undefined> {
  const [only, ...others] = answers.filter(
    ({ layout, isDefault, able }) => layout !== undefined || isDefault || able,
  );
  if (only?.able === true && others.length === 0) {
    return only;
  }
  const texts = {
    title,
    matchOnDetail: true,
    explainUnavailable: ({ answer }: FormatItem) =>
      answer?.able === false ? localise(answer.reason) : undefined,
  };
  // Typing the name of one of them finds the row.
  const more: FormatItem = { label: l10n.t('More formats…'), alwaysShow: true };
  const ask = async (
    items: readonly FormatItem[],
    placeHolder: string,
  ): Promise<FormatItem | undefined> => choose(items, { ...texts, placeHolder });
  const placeHolder = l10n.t('Which format?');
  const chosen = answers.some(({ able }) => able)
    ? await ask([...recommendedItems(answers), more], placeHolder)
    : await ask(
        allItems(answers),
        l10n.t('No format supports these changes. Choose one to see the reason.'),
      );
  return (chosen === more ? await ask(allItems(answers), placeHolder) : chosen)?.answer;
}

/** The rows that are shown first. */
export const recommendedItems = (answers: readonly CheckedOutput[]): FormatItem[] =>
  formatRows(answers).recommended.map(formatItem);

/** All rows; formats that can't express the changes come last. */
export function allItems(answers: readonly CheckedOutput[]): FormatItem[] {
  const { recommended, others, blocked } = formatRows(answers);
  const separator = l10n.t("Can't store these changes");
  return [
    ...[...recommended, ...others].map(formatItem),
    ...(blocked.length === 0 ? [] : [{ label: separator, kind: QuickPickItemKind.Separator }]),
    ...blocked.map(formatItem),
  ];
}

function formatItem(answer: CheckedOutput): FormatItem {
  const { label, detail } = describeFormat(answer);
  return answer.able
    ? { label, detail, answer, ...(answer.isDefault ? { description: l10n.t('default') } : {}) }
    : // The remedy speaks of flags; here the other rows are the remedy.
      { label: `$(circle-slash) ${label}`, detail: localise(answer.reason), answer };
}

interface FormatText {
  readonly label: string;
  readonly detail: string;
}

/** Name and use of a format. */
function describeFormat({ format, layout }: OutputTarget): FormatText {
  switch (format) {
    case 'onnx':
      return {
        label: l10n.t('ONNX model'),
        detail: l10n.t('One graph, for ONNX Runtime and optimum; decoders keep a key/value cache.'),
      };
    case 'gguf':
      return layout === 'deci'
        ? {
            label: l10n.t('GGUF, as a deci model'),
            detail: l10n.t('For llama.cpp. Blocks may lack attention, or both sublayers.'),
          }
        : {
            label: l10n.t('GGUF'),
            detail: l10n.t('For llama.cpp, Ollama and LM Studio.'),
          };
    case 'safetensors':
      return describeLayout(layout ?? 'blocks');
    default:
      return { label: outputFormats[format], detail: '' };
  }
}

function describeLayout(layout: LayoutName): FormatText {
  const folders: Record<LayoutName, FormatText> = {
    blocks: {
      label: l10n.t('Hugging Face folder (safetensors)'),
      detail: l10n.t(
        'Standard checkpoint with fewer blocks, for any tool that supports this architecture.',
      ),
    },
    'auto-map': {
      label: l10n.t('Hugging Face folder with a modeling file'),
      detail: l10n.t(
        'For transformers, with a small Python file that users of the model must trust.',
      ),
    },
    dense: {
      label: l10n.t('Hugging Face folder with dense matrices'),
      detail: l10n.t('Loads everywhere, with the compressed values. Saves no bytes and no time.'),
    },
    deci: {
      label: l10n.t('Hugging Face folder as nemotron-nas (DeciLM)'),
      detail: l10n.t('For mlx-lm, and vLLM and SGLang with --trust-remote-code.'),
    },
    zeroed: {
      label: l10n.t('Hugging Face folder with zeroed weights'),
      detail: l10n.t('Loads everywhere. Saves no bytes and no time.'),
    },
  };
  return folders[layout];
}
