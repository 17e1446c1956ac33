import { chooseOutput } from '../export/output-options';
import type { OutputOption } from '../export/output-options';
import { checkChanges } from '../export/changes';
import type { Changes } from '../export/changes';
import type { OutputFormat } from '../export/output-formats';
import { writeSource } from '../export/write-source';
import type { OpenedModel } from '../models/opened-model';
import { say } from '../message';
import { listLayers } from './compression/layer-choices';
import { UserError } from '../user-error';

/** Runtimes that can be requested. */
export const runtimeNames = ['llama.cpp', 'transformers', 'vllm', 'onnxruntime'] as const;

const formats = {
  'llama.cpp': 'gguf',
  transformers: 'safetensors',
  onnxruntime: 'onnx',
} as const satisfies Readonly<Partial<Record<(typeof runtimeNames)[number], OutputFormat>>>;

/** Programs that a smaller model can be written for. */
export type Runtime = keyof typeof formats;

/** @throws UserError for a program that can't load what is written. */
export function requireRuntime(name: (typeof runtimeNames)[number]): Runtime {
  if (name === 'vllm') {
    throw new UserError(
      'runtime-unsupported',
      say`vLLM doesn't load the quantized weights that Espalier writes.`,
      {
        field: 'for',
        remedy: say`Choose llama.cpp: vLLM can load GGUF files (experimental).`,
      },
    );
  }
  return name;
}

/** Program that a model is most likely for, by its format. */
export function defaultRuntime({ format }: Pick<OpenedModel, 'format'>): Runtime {
  switch (format) {
    case 'gguf':
      return 'llama.cpp';
    case 'onnx':
      return 'onnxruntime';
    case 'safetensors':
      return 'transformers';
  }
}

/** Unchanged model, and the writer of a runtime's format. */
export interface RuntimeOutput {
  readonly option: OutputOption;
  readonly changes: Changes;
}

/**
 * The format that a runtime loads.
 * @throws UserError if the model can't be written in it.
 */
export async function runtimeOutput(opened: OpenedModel, runtime: Runtime): Promise<RuntimeOutput> {
  if (runtime === 'transformers' && hasExpertLayers(opened)) {
    throw new UserError(
      'experts-not-expressible',
      say`transformers keeps all experts of an MoE layer in one tensor, which Espalier can't quantize.`,
      {
        ...{ file: opened.path, field: 'for' },
        remedy: say`Choose ${(await loadableBy(opened)).join(' or ')}.`,
      },
    );
  }
  const source = writeSource(opened);
  const changes = checkChanges(source.model.summary, []);
  try {
    const option = await chooseOutput(source, changes, { format: formats[runtime] });
    return { option, changes };
  } catch (error) {
    if (error instanceof UserError) {
      const { file = opened.path } = error.subject;
      throw new UserError(error.code, error.problem, {
        ...{ file, field: 'for' },
        remedy: say`Choose ${(await loadableBy(opened)).join(' or ')}.`,
      });
    }
    throw error;
  }
}

/** True if experts are linear layers of their own. */
const hasExpertLayers = ({ model }: OpenedModel): boolean =>
  listLayers(model).some(({ expert }) => expert !== undefined);

/** Runtimes that can load the model when it is quantized. */
export async function loadableBy(opened: OpenedModel): Promise<Runtime[]> {
  const source = writeSource(opened);
  const changes = checkChanges(source.model.summary, []);
  const found: Runtime[] = [];
  for (const [runtime, format] of Object.entries(formats)) {
    const able = await chooseOutput(source, changes, { format }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof UserError) {
          return false;
        }
        throw error;
      },
    );
    if (able && !(runtime === 'transformers' && hasExpertLayers(opened))) {
      found.push(runtime as Runtime);
    }
  }
  return found;
}
