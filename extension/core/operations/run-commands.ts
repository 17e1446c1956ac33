import { basename } from 'node:path';
import type { Runtime } from '../pipelines/runtimes';

/** Command or program line that runs a model, to be copied. */
export interface RunCommand {
  /** Program that runs the command. */
  readonly program: string;
  readonly command: string;
}

/** Path in quotes that a shell and Python both read, if it needs any. */
const quoted = (path: string): string =>
  /^[\w./:@-]+$/.test(path) ? path : `"${path.replaceAll(/["\\$`]/g, String.raw`\$&`)}"`;

/**
 * Commands that run a written model.
 * @param path of the file, or of a Hugging Face folder
 * @param context tokens of context
 */
export function runCommands(runtime: Runtime, path: string, context: number): RunCommand[] {
  switch (runtime) {
    case 'llama.cpp': {
      const name = basename(path, '.gguf')
        .toLowerCase()
        .replaceAll(/[^a-z0-9._-]+/g, '-');
      return [
        { program: 'llama.cpp', command: `llama-server -m ${quoted(path)} -c ${context}` },
        {
          program: 'Ollama',
          command: `echo FROM ${quoted(path)} > Modelfile && ollama create ${name} -f Modelfile`,
        },
      ];
    }
    case 'transformers':
      return [
        {
          program: 'transformers',
          command: `AutoModelForCausalLM.from_pretrained(${JSON.stringify(path)}, trust_remote_code=True)`,
        },
      ];
    case 'onnxruntime':
      return [
        {
          program: 'ONNX Runtime',
          command: `onnxruntime.InferenceSession(${JSON.stringify(path)})`,
        },
      ];
  }
}
