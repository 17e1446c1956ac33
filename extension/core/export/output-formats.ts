/** The formats that models are written in, by their names for people. */
export const outputFormats = {
  safetensors: 'Hugging Face folder',
  onnx: 'ONNX file',
  gguf: 'GGUF file',
} as const;

export type OutputFormat = keyof typeof outputFormats;

export const outputFormatNames = Object.keys(outputFormats) as OutputFormat[];
