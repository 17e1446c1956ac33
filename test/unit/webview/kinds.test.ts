import { expect, it } from 'vitest';
import { sublayerKinds } from '../../../extension/core/models/model-summary';
import { strings } from '../../../webview/strings';
import { everyKind, kindsOf } from '../../../webview/heatmap/kinds';
import { modelOf } from './heatmap-fixture';

it('knows and names every kind that models have', () => {
  expect([...everyKind].sort()).toEqual([...sublayerKinds].sort());
  expect(new Set(everyKind.map((kind) => strings.kind(kind))).size).toBe(everyKind.length);
});

it('shows the kinds that a model has, in the order of the residual stream', () => {
  expect(kindsOf(modelOf(3).sublayers)).toEqual(['attention', 'feedforward']);
  const kinds = ['expert', 'feedforward', 'cross-attention', 'attention'] as const;
  expect(kindsOf(kinds.map((kind) => ({ kind })))).toEqual([...kinds].reverse());
  expect(kindsOf([])).toEqual([]);
});
