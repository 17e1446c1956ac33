import { expect, it } from 'vitest';
import { capabilityNames } from '../../../extension/core/models/capabilities';
import type { Capabilities, CapabilityName } from '../../../extension/core/models/capabilities';
import { able, unable } from '../../../extension/core/models/capability';
import { say } from '../../../extension/core/message';
import { distinctNames } from '../../../extension/services/documents/distinct-names';
import {
  mainType,
  modelContext,
  pathsWithout,
} from '../../../extension/services/documents/model-context';

const without = (...names: readonly CapabilityName[]): Capabilities =>
  Object.fromEntries(
    capabilityNames.map((name) => [
      name,
      names.includes(name) ? unable('no-tokenizer', say`No.`, say`Choose another.`) : able,
    ]),
  ) as Capabilities;

it('the context of a model lists the menu entries for it', () => {
  expect(modelContext(without())).toBe('model generate evaluate profile compress repair');
  // An encoder.
  expect(modelContext(without('generate', 'evaluate'))).toBe('model profile compress repair');
  expect(modelContext(without('run', 'generate', 'evaluate', 'compress', 'repair'))).toBe('model');
});

it('a GGUF file is compressed by types, blocks and experts, and not repaired', () => {
  const packed = unable('keeps-own-packing', say`It is packed.`, say`Choose types.`);
  expect(modelContext({ ...without(), compress: packed, repair: packed })).toBe(
    'model generate evaluate profile compress',
  );
});

it('menus exclude models that an entry does not support', () => {
  const keys = pathsWithout([
    { paths: ['/w/encoder'], words: ['profile', 'compress', 'repair'] },
    { paths: ['C:\\w\\a.gguf', '/C:/w/a.gguf'], words: ['generate', 'evaluate', 'profile'] },
    { paths: ['/w/broken'], words: undefined },
  ]);
  expect(keys).toEqual({
    'espalier.without.everything': ['/w/broken'],
    'espalier.without.generate': ['/w/encoder', '/w/broken'],
    'espalier.without.evaluate': ['/w/encoder', '/w/broken'],
    'espalier.without.profile': ['/w/broken'],
    'espalier.without.compress': ['C:\\w\\a.gguf', '/C:/w/a.gguf', '/w/broken'],
    'espalier.without.repair': ['C:\\w\\a.gguf', '/C:/w/a.gguf', '/w/broken'],
  });
});

it('the type of a model is that of most of its bytes, or its quantization', () => {
  expect(mainType({ dtypes: { F32: 10, Q4_K: 900, Q6_K: 200 } })).toBe('Q4_K');
  expect(mainType({ dtypes: {} })).toBe('');
});

it('names are only as long as needed to distinguish them', () => {
  const paths = ['/w/a/model.onnx', '/w/b/model.onnx', '/w/c/other.onnx', '/w/x/a/model.onnx'];
  expect([...distinctNames(paths).values()]).toEqual([
    ...['w/a/model.onnx', 'b/model.onnx', 'other.onnx', 'x/a/model.onnx'],
  ]);
  expect([...distinctNames(['/a', '/a']).values()]).toEqual(['a']);
});
