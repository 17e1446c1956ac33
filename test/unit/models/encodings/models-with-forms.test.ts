import { encoderFixture, encoderGolden, encoderNames } from '../../encoder-fixtures';
import { caseNames, fixture, readJson } from '../../fixtures';
import { ggufFixture, ggufGolden } from '../../gguf-fixtures';
import { quantizedFixture, quantizedGolden } from '../../quantized-fixtures';
import type { quantizedCases } from '../../quantized-fixtures';
import { layerFeatures, sampled } from '../../sample';
import { temporaryFolder } from '../../temporary-folder';
import type { EncodingCase } from './encoding-cases';
import { testEncodings } from './encoding-cases';

function firstRow({ inputIds: [row = []] }: { readonly inputIds: number[][] }): Int32Array {
  return Int32Array.from(row);
}

const decoders = caseNames.map((name) => ({
  name,
  path: fixture(name),
  input: () => firstRow(readJson<{ inputIds: number[][] }>(name, 'golden.json')),
}));
const encoders = encoderNames.map((name) => ({
  name,
  path: encoderFixture(name),
  input: () => encoderGolden(name).examples[0] ?? {},
}));
/** Their families have folders above: one of each shape is enough. */
const ggufForms = [
  'llama',
  'llama-rope',
  'qwen2',
  'qwen3',
  'gemma',
  'gemma2',
  'gemma3',
  'gemma3-pattern',
  'gpt-oss',
];
const packedForms: readonly (typeof quantizedCases)[number][] = [
  'gptq-4-act-order',
  'gptq-8-v2',
  'gptq-2-no-index',
  'awq',
  'bnb-nf4',
  'mxfp4',
];
const ggufFiles = ggufForms.map((name) => ({
  name,
  path: ggufFixture(`${name}.gguf`),
  input: () => firstRow(ggufGolden(name)),
}));
const packed = packedForms.map((name) => ({
  name,
  path: quantizedFixture(name),
  input: () => firstRow(quantizedGolden(name)),
}));

/** Fixtures that are laid out by the table of their family. */
const all: readonly EncodingCase[] = [...decoders, ...encoders, ...ggufFiles, ...packed];
testEncodings(await sampled(all, ({ path }) => layerFeatures(path)), temporaryFolder());
