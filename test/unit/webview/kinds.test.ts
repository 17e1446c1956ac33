import { expect, it } from 'vitest';
import { sublayerKinds } from '../../../extension/core/models/model-summary';
import { strings } from '../../../webview/heatmap/strings';
import { everyKind, listKinds, listLines } from '../../../webview/heatmap/kinds';
import { listUnits } from '../../../webview/heatmap/units';
import { makeMoeModel, makeModel } from './heatmap-fixture';

it('has a name for every kind of sublayer', () => {
  expect([...everyKind].sort()).toEqual([...sublayerKinds].sort());
  expect(new Set(everyKind.map((kind) => strings.kind(kind))).size).toBe(everyKind.length);
});

it('shows the kinds that a model has, in the order of the residual stream', () => {
  expect(listKinds(makeModel(3).sublayers)).toEqual(['attention', 'feedforward']);
  const kinds = ['expert', 'feedforward', 'cross-attention', 'attention'] as const;
  expect(listKinds(kinds.map((kind) => ({ kind })))).toEqual([...kinds].reverse());
  expect(listKinds([])).toEqual([]);
});

it('has a row for each expert after its MoE layer', () => {
  expect(listLines(makeModel(2).sublayers)).toEqual([
    { kind: 'attention' },
    { kind: 'feedforward' },
  ]);
  expect(listLines(listUnits(makeMoeModel(2)))).toEqual([
    { kind: 'attention' },
    { kind: 'expert' },
    ...[0, 1, 2, 3].map((expert) => ({ kind: 'expert', expert })),
  ]);
});
