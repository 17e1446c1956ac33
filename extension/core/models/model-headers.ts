import type { Checkpoint } from '../checkpoints/lazy-tensor';
import type { GgufFile } from './gguf/gguf-file';
import type { OnnxLayeredModel } from './onnx/onnx-layered-model';

/** File formats that models are read from and written in. */
export const modelFormats = ['safetensors', 'onnx', 'gguf'] as const;

export type ModelFormat = (typeof modelFormats)[number];

/** Headers of a model's files, by format. */
export type ModelHeaders =
  | {
      readonly format: 'safetensors';
      /** Path and text of config.json. */
      readonly configFile: string;
      readonly configText: string;
      /** Checkpoint as stored, with packed weights for quantized models. */
      readonly checkpoint: Checkpoint;
    }
  | ({ readonly format: 'gguf' } & GgufFile)
  | { readonly format: 'onnx'; readonly graph: OnnxLayeredModel };
