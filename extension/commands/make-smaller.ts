import { l10n, workspace } from 'vscode';
import type { QuickPickItem } from 'vscode';
import { formatBytes, formatChange, formatDuration } from '../core/format';
import { fitModel, isFitted } from '../core/operations/fit-model';
import type { FittedModel } from '../core/operations/fit-model';
import type { OfferedSize, OfferedSizes } from '../core/operations/size-choices';
import type { AskedTargets } from '../core/pipelines/fit-targets';
import { contextForm, machineNames, machines } from '../core/pipelines/machines';
import type { Runtime } from '../core/pipelines/runtimes';
import {
  describeMarks,
  isPossible,
  lossWords,
  mixTitle,
  requantizesAlways,
} from '../core/pipelines/size-choices';
import { freeName } from '../services/documents/free-name';
import { modelStem } from '../services/documents/model-file';
import { localise } from '../services/localise';
import type { Services } from '../services/services';
import { assertAllowed, explainBlocked } from '../services/trust';
import { askText, choose } from './questions/ask';
import { followedBy } from './questions/steps';
import { chooseTarget } from './target';

/** Answers given in advance to the questions of the command. */
export interface SmallerOptions {
  readonly runtime?: Runtime;
  readonly size?: string;
  /** Path of the new folder. */
  readonly out?: string;
}

/** Makes a model smaller: asks for the target device and size, and shows a report of the result. */
export async function makeSmaller(
  services: Services,
  argument: unknown,
  options: SmallerOptions = {},
): Promise<FittedModel | undefined> {
  const target = await chooseTarget(argument, services, 'makeSmaller', 2);
  if (target === undefined) {
    return undefined;
  }
  assertAllowed(explainBlocked({ trusted: workspace.isTrusted, scheme: 'file' }));
  const { path, name } = await services.models.summary(target.model);
  const title = l10n.t('Make {0} smaller', name);
  const defaults = await services.models.sizes(path, options.runtime);
  const runtime =
    options.runtime ?? (await followedBy(1, async () => chooseRuntime(title, defaults)));
  if (runtime === undefined) {
    return undefined;
  }
  const targets =
    options.size === undefined
      ? await chooseTargets(
          title,
          runtime === defaults.runtime ? defaults : await services.models.sizes(path, runtime),
        )
      : { size: options.size };
  if (targets === undefined) {
    return undefined;
  }
  const out = options.out ?? (await freeName(`${modelStem(path)}-${folderSuffix(targets)}`));
  const request = services.settings.request(fitModel, {
    ...{ model: path, for: runtime, out },
    ...targets,
  });
  const result = await services.jobs.run({ operation: 'fit', name, request });
  return isFitted(result) ? result : undefined;
}

/** Same command for the palette, with a title that more search words match. */
export async function makeModelSmaller(
  services: Services,
  argument: unknown,
): Promise<FittedModel | undefined> {
  return makeSmaller(services, argument);
}

/** `half`, `40pct`, `4GB`, `Q5_K_M`, `phone`, `20tps` */
const folderSuffix = ({ size, machine, speed }: AskedTargets): string =>
  size === undefined
    ? (machine ?? `${speed ?? 0}tps`)
    : size === '50%'
      ? 'half'
      : size.replace('%', 'pct').replace(' ', '');

type RuntimeItem = QuickPickItem & { readonly runtime: Runtime };

/** Asks where the model will run, unless its format leaves only one answer. */
async function chooseRuntime(
  title: string,
  { runtime: defaults, runtimes }: OfferedSizes,
): Promise<Runtime | undefined> {
  const [only, ...others] = runtimes;
  if (others.length === 0) {
    return only;
  }
  const ordered = [defaults, ...runtimes.filter((one) => one !== defaults)];
  const chosen = await choose(ordered.map(runtimeItem), {
    title,
    placeHolder: l10n.t('Where will it run?'),
    matchOnDescription: true,
  });
  return chosen?.runtime;
}

/** Program names, the same in every language. */
const programs = { transformers: 'transformers', onnxruntime: 'ONNX Runtime' } as const;

function runtimeItem(runtime: Runtime): RuntimeItem {
  switch (runtime) {
    case 'llama.cpp':
      return {
        runtime,
        label: l10n.t('llama.cpp, Ollama, LM Studio'),
        description: l10n.t('GGUF'),
      };
    case 'transformers':
      return {
        runtime,
        label: programs.transformers,
        description: l10n.t('Hugging Face folder with a modeling file'),
      };
    case 'onnxruntime':
      return { runtime, label: programs.onnxruntime, description: l10n.t('ONNX model') };
  }
}

type SizeItem = QuickPickItem & { readonly choice?: OfferedSize };

/** Asks for one of the sizes, or for something else to fit. */
async function chooseTargets(
  title: string,
  sizes: OfferedSizes,
): Promise<AskedTargets | undefined> {
  const custom: SizeItem = {
    label: l10n.t('Custom…'),
    description: l10n.t('size, memory at a context length, tokens/s, or a machine'),
    alwaysShow: true,
  };
  const items = [...sizes.choices.map((choice) => sizeItem(choice, sizes)), custom];
  const chosen = await choose(items, {
    title,
    placeHolder: requantizesAlways(sizes)
      ? l10n.t(
          'How small? The model is {0} of {1}, which every choice quantizes again.',
          formatBytes(sizes.bytes),
          sizes.quantized ?? '',
        )
      : l10n.t('How small? The model is {0}.', formatBytes(sizes.bytes)),
    matchOnDescription: true,
    matchOnDetail: true,
    explainUnavailable: ({ choice }) =>
      choice && !isPossible(choice) ? explainImpossible(choice, sizes) : undefined,
  });
  if (chosen === custom) {
    return followedBy(1, async () => askTargets(title, sizes));
  }
  return chosen?.choice && { size: chosen.choice.size };
}

type TargetItem = QuickPickItem & { readonly ask: () => Promise<AskedTargets | undefined> };

/** Asks for the size, memory or speed that the model must reach. */
async function askTargets(title: string, sizes: OfferedSizes): Promise<AskedTargets | undefined> {
  const size = async (): Promise<AskedTargets | undefined> => {
    const typed = await askSize(title, sizes);
    return typed === undefined ? undefined : { size: typed };
  };
  const memory = async (): Promise<AskedTargets | undefined> => {
    const context = await askText({
      title,
      prompt: l10n.t('Context length in tokens, such as 4096 or 8k.'),
      value: String(sizes.context),
      validateInput: (text) =>
        contextForm.pattern.test(text.trim())
          ? undefined
          : l10n.t('Write a number of tokens, such as 4096 or 8k.'),
    });
    if (context === undefined) {
      return undefined;
    }
    const typed = await askText({
      title,
      prompt: l10n.t('Memory for weights, keys, values and buffers, such as 4GB.'),
      validateInput: validateSize,
    });
    return typed === undefined ? undefined : { size: typed.trim(), memoryAt: context.trim() };
  };
  const speed = async (): Promise<AskedTargets | undefined> => {
    const typed = await askText({
      title,
      prompt: l10n.t('Minimum decode speed in tokens/s, such as 20.'),
      validateInput: (text) =>
        Number(text) > 0 ? undefined : l10n.t('Write a number of tokens/s, such as 20.'),
    });
    return typed === undefined ? undefined : { speed: Number(typed) };
  };
  const items: TargetItem[] = [
    { label: l10n.t('Size…'), ask: size },
    { label: l10n.t('Memory at a context length…'), ask: memory },
    ...(sizes.runtime === 'llama.cpp' ? [{ label: l10n.t('Tokens per second…'), ask: speed }] : []),
    ...machineNames.map((machine) => {
      const { label, memoryBytes, context } = machines[machine];
      return {
        label: localise(label),
        description: l10n.t('{0} at {1} tokens', formatBytes(memoryBytes), String(context)),
        ask: async () => Promise.resolve({ machine }),
      };
    }),
  ];
  const chosen = await choose(items, { title, placeHolder: l10n.t('What must it fit?') });
  return chosen?.ask();
}

/** Error of a size that is neither a percentage nor an amount. */
const validateSize = (text: string): string | undefined =>
  /^\s*\d+(?:\.\d+)?(?:%|\s?[kmgt]i?b?)\s*$/i.test(text)
    ? undefined
    : l10n.t('Write a percentage or an amount, such as 40% or 900MB.');

function sizeItem(choice: OfferedSize, sizes: OfferedSizes): SizeItem {
  const { kind, size, bytes, measured, loss, seconds, longest = Infinity } = choice;
  const isOut = !isPossible(choice);
  const label = kind === 'mix' ? localise(mixTitle(size)) : size;
  const sign = kind === 'mix' ? '≤ ' : sizes.runtime === 'llama.cpp' ? '' : '≈ ';
  const lost =
    measured === undefined
      ? localise(lossWords[loss])
      : l10n.t('perplexity {0} (measured)', formatChange(1, measured.perplexityRatio));
  const duration = formatDuration(seconds);
  const time = seconds < longest ? l10n.t('about {0}', duration) : l10n.t('at most {0}', duration);
  const facts = [lost, time, marksText(choice, sizes)];
  return {
    choice,
    label: isOut ? `$(circle-slash) ${label}` : label,
    description: `${sign}${formatBytes(bytes)}  ${formatChange(sizes.bytes, bytes)}`,
    detail: facts.filter((one) => one !== undefined).join(' · '),
  };
}

function marksText(choice: OfferedSize, sizes: OfferedSizes): string | undefined {
  const marks = describeMarks(choice, sizes, true);
  return marks && localise(marks);
}

/** Explains why a choice can't be taken, and what can reach a size that quantization can't. */
function explainImpossible(choice: OfferedSize, sizes: OfferedSizes): string | undefined {
  return choice.marks.includes('out of reach') && sizes.leastBytes !== undefined
    ? l10n.t(
        'Quantization needs at least {0}. Choose a larger size, or remove blocks, experts or channels first (Profile Layers), which usually costs more quality per byte.',
        formatBytes(sizes.leastBytes),
      )
    : marksText(choice, sizes);
}

async function askSize(
  title: string,
  { leastBytes, bytes }: OfferedSizes,
): Promise<string | undefined> {
  const least = leastBytes === undefined ? '' : formatBytes(leastBytes);
  const typed = await askText({
    title,
    prompt:
      leastBytes === undefined
        ? l10n.t('Size of the new model, such as 40% or 900MB.')
        : l10n.t(
            'Size of the new model, such as 40% or 900MB: from {0} to {1}.',
            least,
            formatBytes(bytes),
          ),
    validateInput: validateSize,
  });
  return typed?.trim();
}
