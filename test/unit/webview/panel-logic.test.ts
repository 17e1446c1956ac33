import { formatDuration } from '../../../extension/core/format';
import { describe, expect, it } from 'vitest';
import type { ConfigChange } from '../../../extension/protocol/heatmap';
import {
  formatBytes,
  formatTime,
  formatCompact,
  formatDistance,
  formatDistanceShort,
  formatPercent,
  formatShare,
  formatWithError,
} from '../../../webview/format';
import { findAvailability, isEmpty } from '../../../webview/heatmap/availability';
import { changedLines, splitHunks } from '../../../webview/heatmap/config/config-hunks';
import { measuredPerplexities } from '../../../webview/heatmap/curves/perplexities';
import { makeEvaluation, readProfile, makeState } from './heatmap-fixture';
import { inEnglish, say } from '../../../extension/core/message';

const profiling = { id: '1', name: 'Profiling', makesDocument: true };

describe('available actions', () => {
  it('needs a selection to prune or to save a plan, not to evaluate', () => {
    const available = findAvailability(makeState());
    expect(available.profile).toBeUndefined();
    expect(available.evaluate).toBeUndefined();
    expect(available.prune).toMatch(/No sublayer/);
    expect(available.savePlan).toMatch(/No sublayer/);
  });

  it('waits for a running job, but a plan can be saved', () => {
    const available = findAvailability(
      makeState({
        removed: ['block.0.attention'],
        job: { ...profiling, kind: 'running', progress: undefined },
      }),
    );
    expect(available.prune).toBe('Profiling is running');
    expect(available.profile).toBe('Profiling is running');
    expect(available.savePlan).toBeUndefined();
  });

  it('waits for a job of the same model that is queued', () => {
    const pruning = { id: '1', name: 'Pruning', makesDocument: false };
    const job = { ...pruning, kind: 'queued', position: { place: 1 } } as const;
    expect(findAvailability(makeState({ job })).profile).toBe('Pruning is queued');
  });

  it('explains why the workspace allows no action', () => {
    const available = findAvailability(makeState({ blocked: 'Not trusted.' }));
    expect([available.profile, available.prune, available.evaluate]).toEqual(
      Array(3).fill('Not trusted.'),
    );
  });

  it('leaves out unsupported actions, with the reason', () => {
    const cannot = { evaluate: say`It sees the whole input.`, keepCache: say`It keeps none.` };
    const encoder = findAvailability(makeState({ cannot, removed: ['block.0.attention'] }));
    expect(encoder.evaluate).toBe(inEnglish(cannot.evaluate));
    expect(encoder.profile).toBeUndefined();
    expect(encoder.prune).toBeUndefined();
    const listed = findAvailability(makeState({ cannot: { run: say`Packed.` } }));
    expect([listed.profile, listed.evaluate, listed.prune]).toEqual([
      'Packed.',
      'Packed.',
      'Packed.',
    ]);
  });

  it('resumes only a job with a journal', () => {
    const job = {
      ...profiling,
      ...({ kind: 'stopped', reason: 'crashed', message: '' } as const),
    };
    const saved = 'Saved: 4 of 36 sublayers.';
    expect(findAvailability(makeState({ job: { ...job, saved } })).resumable).toBe(true);
    expect(findAvailability(makeState({ job })).resumable).toBe(false);
    // Patching has a button of its own to go on with.
    expect(
      findAvailability(makeState({ job: { ...job, makesDocument: false, saved } })).resumable,
    ).toBe(false);
  });

  it('starts empty: no profile, and nothing under way', () => {
    expect(isEmpty(makeState())).toBe(true);
    expect(isEmpty(makeState({ profile: readProfile() }))).toBe(false);
    const job = { ...profiling, kind: 'running', progress: undefined } as const;
    expect(isEmpty(makeState({ job }))).toBe(false);
  });
});

describe('preview of config.json', () => {
  const same = (count: number): ConfigChange[] =>
    Array.from({ length: count }, (_, index) => ({ line: `same ${index}`, change: 'same' }));
  const added: ConfigChange = { line: 'new', change: 'added' };

  it('folds lines far from a change', () => {
    const hunks = splitHunks([...same(10), added, ...same(10)]);
    expect(hunks.map(({ kind, lines }) => [kind, lines.length])).toEqual([
      ['folded', 7],
      ['lines', 7],
      ['folded', 7],
    ]);
  });

  it('does not fold a few lines, and keeps all of them', () => {
    const lines = [added, ...same(8), added];
    const hunks = splitHunks(lines);
    expect(hunks.every(({ kind }) => kind === 'lines')).toBe(true);
    expect(hunks.flatMap((hunk) => hunk.lines)).toEqual(lines);
    expect(splitHunks([])).toEqual([]);
  });

  it('counts both sides', () => {
    expect(changedLines([added, { line: 'old', change: 'removed' }, added])).toEqual({
      added: 2,
      removed: 1,
    });
  });
});

describe('perplexities', () => {
  const profile = readProfile({ evaluations: [makeEvaluation(0, 20), makeEvaluation(2, 30)] });

  it('come from the profile, or from an evaluation of the selection', () => {
    expect(measuredPerplexities(makeState({ profile, selectedRounds: 2, removed: ['x'] }))).toEqual(
      {
        original: 20,
        selected: 30,
        firstTokens: undefined,
      },
    );
    const selectionEvaluation = makeEvaluation(0, 25);
    expect(
      measuredPerplexities(makeState({ profile, removed: ['x'], selectionEvaluation })),
    ).toEqual({
      original: 20,
      selected: 25,
      firstTokens: undefined,
    });
  });

  it('use an evaluation without removals as the original', () => {
    const selectionEvaluation = makeEvaluation(0, 21);
    expect(measuredPerplexities(makeState({ selectionEvaluation, selectedRounds: 0 }))).toEqual({
      original: 21,
      selected: 21,
      firstTokens: undefined,
    });
    // Width-pruned sublayers, which are not removed.
    expect(measuredPerplexities(makeState({ selectionEvaluation })).original).toBeUndefined();
    expect(measuredPerplexities(makeState({ profile, removed: ['x'] })).selected).toBeUndefined();
    const partial = { ...makeEvaluation(0, 21), partial: true } as const;
    expect(measuredPerplexities(makeState({ selectionEvaluation: partial })).firstTokens).toBe(
      partial.tokens,
    );
  });
});

it('formats numbers', () => {
  expect(formatBytes(0)).toBe('0 B');
  expect(formatBytes(1023)).toBe('1,020 B');
  expect(formatBytes(1536)).toBe('1.5 KiB');
  expect(formatBytes(5 * 1024 ** 4)).toBe('5 TiB');
  expect([2.239e-4, 0.0125, 999.6, 1e4].map((one) => formatTime(one))).toEqual([
    ...['224 ns', '12.5 µs', '1 s', '10 s'],
  ]);
  expect(formatCompact(4_187_264)).toBe('4.19\u00a0M');
  expect([0, 999, 1000, 999_999, 1.5e9].map((one) => formatCompact(one))).toEqual([
    '0',
    '999',
    '1\u00a0K',
    '1\u00a0M',
    '1.5\u00a0B',
  ]);
  // On an axis all have the unit of the largest.
  expect(formatBytes(512 * 1024, 3 * 1024 ** 2)).toBe('0.5 MiB');
  expect(formatTime(0.2, 12)).toBe('0.2 ms');
  expect(formatCompact(500_000, 4_187_264)).toBe('0.5\u00a0M');
  expect(formatPercent(0.2453)).toBe('24.5\u00a0%');
  expect([0, 0.0004, 0.0005, 1].map(formatPercent)).toEqual([
    ...['0\u00a0%', '<0.1\u00a0%', '0.1\u00a0%', '100.0\u00a0%'],
  ]);
  expect([0.5, 0.125, 1].map(formatShare)).toEqual(['50\u00a0%', '12.5\u00a0%', '100\u00a0%']);
  expect(formatWithError(0.0497, 0.01243)).toBe('0.0497 ± 0.0124');
  expect(formatWithError(0.5, 0.0124)).toBe('0.5 ± 0.01');
  expect(formatWithError(1.234e-5, 4e-6)).toBe('1.23e-5 ± 4.00e-6');
  expect(formatWithError(0.5, 1e-10)).toBe('0.5 ± 1.00e-10');
  expect(formatDistance(0)).toBe('0');
  expect(formatDistance(0.012345)).toBe('0.0123');
  expect(formatDistance(0.00012345)).toBe('1.23e-4');
  expect(formatDistanceShort(0.012345)).toBe('0.012');
  expect(formatDistanceShort(0.00012345)).toBe('1e-4');
  expect([4e-10, 0, 0.012345].map(formatDistanceShort)).toEqual(['4e-10', '0', '0.012']);
  expect(formatDuration(0.3)).toBe('1 s');
  expect(formatDuration(45.2)).toBe('45 s');
  expect(formatDuration(200)).toBe('3 min');
  expect(formatDuration(7199)).toBe('2 h 0 min');
});
