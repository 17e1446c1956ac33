import { basename } from 'node:path';
import { l10n } from 'vscode';
import type { QuickPickItem } from 'vscode';
import type { WritableType } from '../../core/checkpoints/ggml-types';
import type { TypeMix } from '../../core/export/gguf/type-mixes';
import type { Plan } from '../../core/plans/plan';
import { fileExists } from '../../services/documents/documents';
import { importanceEnding, modelStem } from '../../services/documents/model-file';
import { askPath, choose } from './ask';

/** The types of a GGUF file's tensors. */
export interface TypeOptions {
  /** Quantization types; if undefined, those that the model already has. */
  readonly type?: TypeMix;
  /** Path of the importance matrix that rounding is weighted by. */
  readonly imatrix?: string;
}

/** Quantization types that the user chose, before a required importance matrix has been measured. */
export interface TypeAnswer extends TypeOptions {
  /** The matrix is measured on the calibration text first. */
  readonly measure?: boolean;
}

/** Choices that the user still has to make. */
export interface TypeQuestion {
  /** True if something must change, since a GGUF file as stored would be a copy. */
  readonly mustChange?: boolean;
  /** True if a matrix measured on the original fits the output; false if channels or experts are removed. */
  readonly weighs?: boolean;
  /** Plan that already sets tensor types, so that only rounding is asked. */
  readonly planned?: Pick<Plan, 'types' | 'byImportance'>;
}

/** Asks for the types of a GGUF file and the weights for rounding errors; undefined if the user cancels. */
export async function chooseTypes(
  title: string,
  model: string,
  { mustChange = false, weighs = true, planned }: TypeQuestion = {},
): Promise<TypeAnswer | undefined> {
  if (planned !== undefined) {
    const isRounded = Object.values(planned.types ?? {}).some((type) => !alike.includes(type));
    return isRounded && weighs ? chooseImportance(title, model, planned) : {};
  }
  const chosen = await choose(typeItems().slice(mustChange ? 1 : 0), {
    title,
    placeHolder: l10n.t('Which type for the tensors?'),
    matchOnDescription: true,
  });
  if (chosen === undefined) {
    return undefined;
  }
  const { type, isRounded } = chosen;
  if (type === undefined || !isRounded || !weighs) {
    return type === undefined ? {} : { type };
  }
  const weighted = await chooseImportance(title, model);
  return weighted === undefined ? undefined : { type, ...weighted };
}

/** Types with only one way of rounding. */
const alike: readonly WritableType[] = ['F32', 'F16', 'BF16', 'Q8_0'];

type TypeItem = QuickPickItem & {
  readonly type?: TypeMix;
  /** True if the types have so few bits that the quantization method matters. */
  readonly isRounded: boolean;
};

function typeItems(): TypeItem[] {
  const rounded = (type: TypeMix, bits: number, detail: string): TypeItem => ({
    ...{ type, label: type, detail, isRounded: true },
    description: l10n.t('about {0} bits per weight', bits),
  });
  return [
    {
      label: l10n.t('As stored'),
      description: l10n.t('default'),
      detail: l10n.t('Stored weights, unquantized.'),
      isRounded: false,
    },
    {
      ...{ type: 'Q8_0', label: 'Q8_0', isRounded: false },
      description: l10n.t('about {0} bits per weight', 8.5),
      detail: l10n.t('Nearly no loss.'),
    },
    rounded('Q6_K', 6.6, l10n.t('Little loss.')),
    rounded('Q5_K_M', 5.7, l10n.t('Between Q6_K and Q4_K_M.')),
    rounded('Q4_K_M', 4.9, l10n.t('The most common choice for a laptop.')),
    rounded('IQ4_XS', 4.3, l10n.t('Smaller than Q4_K_M.')),
    rounded('Q3_K_M', 3.9, l10n.t('Noticeable loss.')),
    rounded('Q2_K', 3, l10n.t("Large loss. For models that don't fit otherwise.")),
    {
      ...{ type: 'F16', label: 'F16', isRounded: false },
      description: l10n.t('16 bits per weight'),
      detail: l10n.t('As a source for other tools, and for models stored as bfloat16.'),
    },
  ];
}

/** Asks for the importance matrix that weights the quantization error. */
async function chooseImportance(
  title: string,
  model: string,
  planned?: Pick<Plan, 'byImportance'>,
): Promise<Omit<TypeAnswer, 'type'> | undefined> {
  const described = (byImportance: boolean): Pick<QuickPickItem, 'description'> =>
    planned !== undefined && byImportance === (planned.byImportance === true)
      ? { description: l10n.t('same as in the measured plan') }
      : {};
  const measure = {
    ...described(true),
    label: l10n.t('Measure importance first'),
    detail: l10n.t('Runs the model on the calibration text to see which weights matter most.'),
  };
  const beside = `${modelStem(model)}${importanceEnding}`;
  const known = {
    ...described(true),
    label: basename(beside),
    detail: l10n.t('The importance matrix next to the model.'),
  };
  const file = {
    ...described(true),
    label: l10n.t('Choose an importance matrix…'),
    detail: l10n.t('Written by Espalier or by llama-imatrix.'),
  };
  const none = {
    ...described(false),
    label: l10n.t('No importance matrix'),
    detail: l10n.t(
      'Rounds all weights alike, as llama-quantize does without an importance matrix.',
    ),
  };
  const items = [...((await fileExists(beside)) ? [known] : []), measure, file, none];
  const chosen = await choose(items, {
    title,
    placeHolder: l10n.t('Which importance matrix?'),
  });
  if (chosen === file) {
    const opened = await askPath({
      title,
      filters: { [l10n.t('Importance matrix')]: ['gguf'] },
      openLabel: l10n.t('Choose'),
    });
    return opened === undefined ? undefined : { imatrix: opened.fsPath };
  }
  const answers = new Map<unknown, Omit<TypeAnswer, 'type'>>([
    [known, { imatrix: beside }],
    [measure, { measure: true }],
    [none, {}],
  ]);
  return answers.get(chosen);
}
