import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { renameInputs } from '../../../extension/core/models/onnx/edits/node-edits';
import { operatorName } from '../../../extension/core/models/onnx/graph-index';
import { attribute, copyWith } from '../../../extension/core/onnx/messages';
import { NodeProtoSchema } from '../../../extension/core/onnx/proto/onnx_pb';
import type { NodeProto } from '../../../extension/core/onnx/proto/onnx_pb';

/** Field 100, a string, which onnx.proto does not know. */
const unknownField = Buffer.from([0xa2, 0x06, 3, ...Buffer.from('new')]);

/** An Add as a newer writer stores it, without a domain. */
function storedNode(): NodeProto {
  const node = create(NodeProtoSchema, {
    opType: 'Add',
    input: ['a', 'b'],
    output: ['sum'],
    attribute: [attribute('axis', 1)],
  });
  return fromBinary(
    NodeProtoSchema,
    Buffer.concat([toBinary(NodeProtoSchema, node), unknownField]),
  );
}

test('a copy keeps unknown fields, and missing fields have their defaults', () => {
  const node = storedNode();
  const copy = copyWith(node, { output: ['other'] });
  expect(copy.domain).toBe('');
  expect(copy.output).toEqual(['other']);
  const stored = Buffer.from(toBinary(NodeProtoSchema, copy));
  expect(stored.includes(unknownField)).toBe(true);
  const expected = storedNode();
  expected.output = ['other'];
  expect(stored).toEqual(Buffer.from(toBinary(NodeProtoSchema, expected)));
});

test('a copy has lists of its own', () => {
  const node = storedNode();
  const before = toBinary(NodeProtoSchema, node);
  const copy = copyWith(node, {});
  copy.input.push('c');
  copy.attribute.push(attribute('keepdims', 0));
  copy.$unknown?.pop();
  expect(toBinary(NodeProtoSchema, node)).toEqual(before);
});

test('a node with other inputs keeps unknown fields and its operator', () => {
  const renamed = renameInputs(storedNode(), (name) => `${name}/new`);
  expect(renamed.input).toEqual(['a/new', 'b/new']);
  expect(operatorName(renamed)).toBe('Add');
  expect(Buffer.from(toBinary(NodeProtoSchema, renamed)).includes(unknownField)).toBe(true);
});
