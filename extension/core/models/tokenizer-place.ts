import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isOnnx } from '../checkpoints/model-folder';
import type { ErrorCode } from '../error-codes';
import type { Message } from '../message';
import { say } from '../message';

const fileName = 'tokenizer.json';
/** Files of other tokenizers that transformers can convert to tokenizer.json. */
const otherFiles = [
  ...['tokenizer.model', 'spiece.model', 'sentencepiece.bpe.model', 'tekken.json'],
  ...['vocab.json', 'merges.txt', 'vocab.txt'],
];

/** Location of a tokenizer. */
export interface TokenizerPlace {
  readonly folder: string;
  /** Path of tokenizer.json, whether or not it exists. */
  readonly file: string;
}

/**
 * Location of the tokenizer of a folder or .onnx file: next to it, or in the parent of a folder of
 * graphs in a repository.
 */
export function tokenizerPlace(model: string): TokenizerPlace {
  const beside = isOnnx(model) ? dirname(model) : model;
  const places = isOnnx(model) ? [beside, dirname(beside)] : [beside];
  const folder = places.find((place) => existsSync(join(place, fileName))) ?? beside;
  return { folder, file: join(folder, fileName) };
}

/** Files of tokenizers in a folder that cannot be read here. */
export function otherTokenizers(folder: string): readonly string[] {
  const names = namesIn(folder);
  return otherFiles.filter((name) => names.includes(name));
}

/** Why a folder or an .onnx file has no tokenizer, and the way out; undefined where it has one. */
export function explainNoTokenizer(model: string):
  | {
      readonly code: ErrorCode;
      readonly file: string;
      readonly reason: Message;
      readonly remedy: Message;
    }
  | undefined {
  const { folder, file } = tokenizerPlace(model);
  if (existsSync(file)) {
    return undefined;
  }
  const others = otherTokenizers(folder);
  return others.length === 0
    ? {
        code: 'no-tokenizer',
        file,
        reason: say`The model has no tokenizer.json, so text can't be tokenized.`,
        remedy: say`Copy the model's tokenizer.json into its folder.`,
      }
    : {
        code: 'tokenizer-format-unsupported',
        file,
        reason: say`The model has no tokenizer.json, only ${others.join(', ')}, which is not supported here.`,
        remedy: say`Copy the model's tokenizer.json into its folder: save_pretrained of transformers' AutoTokenizer writes it.`,
      };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
