import { l10n, QuickPickItemKind, window } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { LayoutName } from '../core/export/layouts';
import type { FormAnswer, FormName } from '../core/export/output-forms';

interface FormItem extends QuickPickItem {
  /** Absent from separators. */
  readonly answer?: FormAnswer;
}

/**
 * Lets the user choose what to write: forms that can express the removal first, the others below
 * with the reason why not, where they cannot be chosen. Where there is one form in all, nothing is asked.
 */
export async function chooseForm(
  title: string,
  forms: readonly FormAnswer[],
): Promise<FormName | undefined> {
  const [form, ...others] = forms.filter(({ layout, usual }) => layout !== undefined || usual);
  if (form !== undefined && form.refusal === undefined && others.length === 0) {
    return form;
  }
  const pick = window.createQuickPick<FormItem>();
  pick.title = title;
  pick.matchOnDetail = true;
  pick.items = itemsOf(forms);
  const chosen = new Promise<FormName | undefined>((resolve) => {
    pick.onDidAccept(() => {
      const answer = pick.selectedItems[0]?.answer;
      if (answer?.refusal !== undefined) {
        // A row has room for the beginning alone.
        void window.showWarningMessage(`${answer.refusal.problem} ${answer.refusal.remedy}`);
      } else if (answer !== undefined) {
        resolve(answer);
        pick.hide();
      }
    });
    pick.onDidHide(() => {
      resolve(undefined);
    });
  });
  pick.show();
  return chosen.finally(() => {
    pick.dispose();
  });
}

/** Rows of the choice, the usual form of the model first. */
export function itemsOf(forms: readonly FormAnswer[]): FormItem[] {
  const row = (answer: FormAnswer): FormItem => {
    const { label, detail } = describeForm(answer);
    const { refusal, usual } = answer;
    return refusal === undefined
      ? { label, detail, answer, ...(usual ? { description: l10n.t('usual') } : {}) }
      : {
          label: `$(circle-slash) ${label}`,
          detail: `${refusal.problem} ${refusal.remedy}`,
          answer,
        };
  };
  const able = forms.filter(({ refusal }) => refusal === undefined);
  const unable = forms.filter(({ refusal }) => refusal !== undefined);
  const separator = l10n.t('Cannot express this selection');
  return [
    ...[...able].sort((a, b) => Number(b.usual) - Number(a.usual)).map(row),
    ...(unable.length === 0 ? [] : [{ label: separator, kind: QuickPickItemKind.Separator }]),
    ...unable.map(row),
  ];
}

interface FormText {
  readonly label: string;
  readonly detail: string;
}

/** What a form is called, and what it is good for. */
function describeForm({ format, layout }: FormName): FormText {
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
            detail: l10n.t('For llama.cpp: blocks may lack attention or both sublayers.'),
          }
        : {
            label: l10n.t('GGUF'),
            detail: l10n.t('For llama.cpp: an ordinary model with fewer blocks.'),
          };
    case 'safetensors':
      return describeLayout(layout ?? 'blocks');
  }
}

function describeLayout(layout: LayoutName): FormText {
  const folders: Record<LayoutName, FormText> = {
    blocks: {
      label: l10n.t('Hugging Face folder (safetensors)'),
      detail: l10n.t('An ordinary model with fewer blocks, for any tool that knows the family.'),
    },
    'auto-map': {
      label: l10n.t('Hugging Face folder with a modelling file'),
      detail: l10n.t(
        'For transformers with trust_remote_code=True: single sublayers are gone, or matrices compressed.',
      ),
    },
    dense: {
      label: l10n.t('Hugging Face folder with dense matrices'),
      detail: l10n.t('Loads everywhere, with the compressed values. Saves no bytes and no time.'),
    },
    deci: {
      label: l10n.t('Hugging Face folder as nemotron-nas (DeciLM)'),
      detail: l10n.t('For vLLM, SGLang and mlx-lm: block_configs says what each block lacks.'),
    },
    zeroed: {
      label: l10n.t('Hugging Face folder with zeroed weights'),
      detail: l10n.t('Loads everywhere. Saves no bytes and no time.'),
    },
  };
  return folders[layout];
}
