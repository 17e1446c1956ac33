import { describe, expect, it } from 'vitest';
import type { ProfileEvent } from '../../../extension/core/prune/layer-profile';
import { defaultSettings } from '../../../extension/core/prune/options';
import type { ProfileState } from '../../../extension/protocol/heatmap';
import { reduceProfile } from '../../../extension/services/sessions/profile-state';
import { smallModel } from './small-model';

const model = smallModel(2);
const events: readonly ProfileEvent[] = [
  {
    kind: 'started',
    model,
    calibration: { source: 'bundled', sequences: 1, length: 8, tokens: 8, fingerprint: '0' },
    settings: defaultSettings,
    metricDefinition: 'mean over tokens',
    device: 'cpu',
    candidates: model.sublayers.map(({ id }) => id),
  },
  {
    kind: 'cosine-local',
    distances: [{ sublayer: 'block.0.attention', distance: 0.5 }],
  },
  {
    kind: 'candidate',
    round: 1,
    distance: { sublayer: 'block.1.attention', distance: 0.25 },
  },
  { kind: 'round', round: 1, result: { removed: 'block.1.attention', distance: 0.25 } },
  {
    kind: 'candidate',
    round: 2,
    distance: { sublayer: 'block.0.attention', distance: 9 },
  },
  { kind: 'round', round: 2, result: { removed: 'block.0.feedforward', distance: 0.5 } },
  {
    kind: 'baseline',
    name: 'reverse',
    rounds: [{ removed: 'block.1.feedforward', distance: 0.75 }],
  },
];
const replay = (all: readonly ProfileEvent[]): ProfileState | undefined =>
  all.reduce<ProfileState | undefined>(reduceProfile, undefined);

describe('reduceProfile', () => {
  it('fills in a profile', () => {
    expect(replay(events)).toMatchObject({
      device: 'cpu',
      candidates: [
        { sublayer: 'block.0.attention', distance: null },
        { sublayer: 'block.0.feedforward', distance: null },
        { sublayer: 'block.1.attention', distance: 0.25 },
        { sublayer: 'block.1.feedforward', distance: null },
      ],
      cosineLocal: [{ sublayer: 'block.0.attention', distance: 0.5 }],
      rounds: [{ removed: 'block.1.attention' }, { removed: 'block.0.feedforward' }],
      baselines: { reverse: [{ removed: 'block.1.feedforward' }] },
    });
  });

  it('has the same state when a resumed search repeats everything', () => {
    expect(replay([...events.slice(0, 4), ...events])).toEqual(replay(events));
    expect(replay(events.flatMap((event) => [event, event]))).toEqual(replay(events));
  });

  it('keeps everything when a search resumes, and clears it when another begins', () => {
    const [started] = events;
    if (started?.kind !== 'started') throw new Error('no start');
    expect(replay([...events, started])).toEqual(replay(events));
    const other = { ...started, settings: { ...defaultSettings, mode: 'naive' } } as const;
    expect(replay([...events, other])?.rounds).toEqual([]);
  });

  it('ignores events before the start', () => {
    expect(replay(events.slice(1))).toBeUndefined();
  });
});
