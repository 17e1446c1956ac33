import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { documentJournal } from '../../../extension/core/jobs/work-folder';
import { inEnglish } from '../../../extension/core/message';
import { openModelFiles } from '../../../extension/core/models/open-model';
import type { LayerProfile, ProfileEvent } from '../../../extension/core/prune/layer-profile';
import { defaultSettings } from '../../../extension/core/prune/options';
import type { SearchSettings } from '../../../extension/core/prune/options';
import { profileModel } from '../../../extension/core/prune/profile-model';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

describe('refining a search that a profile has already', () => {
  let model: string;
  beforeAll(async () => {
    model = await makeRandomModel({ seed: 11, blocks: 4 });
  });
  afterAll(async () => rm(model, { recursive: true }));

  const search: Partial<SearchSettings> = {
    mode: 'exact',
    budget: { kind: 'count', count: 3 },
    baselines: [],
  };
  const refined: Partial<SearchSettings> = { ...search, refine: { method: 'swaps', sets: 20 } };

  /** A profile at `out`, and what was told of it. */
  async function profiled(
    out: string,
    settings: Partial<SearchSettings>,
    { sequences = 3 } = {},
  ): Promise<{
    profile: LayerProfile;
    informed: string[];
    events: ProfileEvent[];
    told: StageProgress[];
  }> {
    const [informed, events, told]: [string[], ProfileEvent[], StageProgress[]] = [[], [], []];
    const profile = await profileModel(
      {
        model: await openModelFiles(model),
        calibration: { file: 'random', sequences, length: 24 },
        settings: { ...defaultSettings, ...settings },
        ...{ device: 'cpu', memoryBytes: 1 << 28, out, journal: documentJournal(out) },
      },
      { bundledText: '', version: '1.0.0' },
      {
        ...unattended,
        inform: (message) => informed.push(inEnglish(message)),
        emit: (event) => events.push(event),
        progress: (progress) => told.push(progress),
      },
    );
    return { profile, informed, events, told };
  }

  it('makes the refinement alone, with the same result', async () => {
    const out = join(folder, 'twice.layerprofile.json');
    const { profile: first } = await profiled(out, search);
    const { profile, informed, events, told } = await profiled(out, refined);
    const { profile: atOnce, informed: nothing } = await profiled(join(folder, 'once'), refined);
    expect(nothing).toEqual([]);
    expect(informed).toHaveLength(1);
    expect(profile.rounds).toEqual(atOnce.rounds);
    expect(profile.refinement).toEqual(atOnce.refinement);
    expect(profile.candidates).toEqual(atOnce.candidates);
    expect(profile.stability).toEqual(atOnce.stability);
    expect(profile.stability).toBeDefined();
    // The time of the search counts, and the search is not repeated.
    const own = profile.search.sublayerEvaluations - first.search.sublayerEvaluations;
    expect(own).toBeGreaterThan(0);
    const added = atOnce.search.sublayerEvaluations - first.search.sublayerEvaluations;
    // Besides the refinement, the original runs again.
    expect(own).toBe(added + 3 * first.model.sublayers.length);
    expect(events.filter(({ kind }) => kind === 'round').slice(0, 3)).toHaveLength(3);
    expect(told.some(({ stage }) => inEnglish(stage).startsWith('Round'))).toBe(false);
    expect(JSON.parse(await readFile(out, 'utf8'))).toEqual(JSON.parse(JSON.stringify(profile)));
    // The refinement's share of the time is unknown, so the refinement is repeated.
    const { informed: again } = await profiled(out, {
      ...search,
      refine: { method: 'evolve', sets: 20 },
    });
    expect(again).toEqual([]);
  });

  it.each([
    { what: 'another seed', settings: { ...refined, seed: 1 } },
    { what: 'another mode', settings: { ...refined, mode: 'adaptive' } },
    { what: 'more removals', settings: { ...refined, budget: { kind: 'count', count: 4 } } },
    { what: 'another text', settings: refined, sequences: 2 },
    { what: 'no refinement', settings: search },
  ] as const)('searches again with $what', async ({ settings, ...rest }) => {
    const out = join(folder, 'other.layerprofile.json');
    await profiled(out, search);
    const { informed, told } = await profiled(out, settings, 'sequences' in rest ? rest : {});
    expect(informed).toEqual([]);
    expect(told.some(({ stage }) => inEnglish(stage).startsWith('Round'))).toBe(true);
  });

  it('searches again if the same tokens were in other sequences', async () => {
    const out = join(folder, 'pieces.layerprofile.json');
    const { profile } = await profiled(out, search);
    const calibration = { ...profile.calibration, sequences: 6, length: 12 };
    await writeFile(out, JSON.stringify({ ...profile, calibration }));
    expect((await profiled(out, refined)).informed).toEqual([]);
  });
});
