import { encoderFixture, encoderGolden, encoderNames } from '../../encoder-fixtures';
import { caseNames, fixture, readJson } from '../../fixtures';
import { ggufFixture, ggufGolden, ggufNames } from '../../gguf-fixtures';
import { quantizedFixture, quantizedGolden, quantizedCases } from '../../quantized-fixtures';
import { temporaryFolder } from '../../temporary-folder';
import type { FormCase } from './form-cases';
import { testForms } from './form-cases';

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
const ggufFiles = ggufNames.map((name) => ({
  name,
  path: ggufFixture(`${name}.gguf`),
  input: () => firstRow(ggufGolden(name)),
}));
const packed = quantizedCases.map((name) => ({
  name,
  path: quantizedFixture(name),
  input: () => firstRow(quantizedGolden(name)),
}));

/** Every fixture that is laid out by the table of its family. */
const all: readonly FormCase[] = [...decoders, ...encoders, ...ggufFiles, ...packed];
testForms(all, temporaryFolder());
