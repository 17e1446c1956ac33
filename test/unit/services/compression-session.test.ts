import { describe, expect, it } from 'vitest';
import type { LayerProfile } from '../../../extension/core/prune/layer-profile';
import type {
  SensitivityEntry,
  SensitivityProfile,
} from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { profileCalibration } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { withSchemes } from '../../../extension/core/tensornet/sensitivity/schemes';
import type { BudgetChoice, MadePlan } from '../../../extension/protocol/compression';
import { CompressionSession } from '../../../extension/services/sessions/compression-session';
import type { StoredCompression } from '../../../extension/services/sessions/compression-session';
import { budgetPlan } from '../../../extension/services/documents/plans';
import { smallModel } from './small-model';

const model = smallModel(2);

function makeEntry(method: SensitivityEntry['method'], distance: number): SensitivityEntry {
  return {
    method,
    setting: method === 'int4' ? 32 : 0,
    distance,
    error: 0.1,
    parameters: 100,
    bytes: 50,
    flopsPerToken: 200,
    decodeMsPerToken: 0,
    prefillMsPerToken: 0,
  };
}

function makeTable(entries: readonly SensitivityEntry[] = []): SensitivityProfile {
  return {
    format: 'espalier.sensitivity',
    version: 1,
    created: '2026-01-01T00:00:00.000Z',
    versions: { espalier: '0', onnxruntime: '0', node: '0' },
    machine: { platform: 'linux', processor: 'x', cores: 1 },
    model,
    calibration: { source: 'bundled', sequences: 2, length: 8, tokens: 16, fingerprint: 'c' },
    metric: 'js',
    metricDefinition: 'JS',
    original: 0,
    settings: {
      compressions: [{ method: 'int8' }],
      ...{ metric: 'js', roles: [], blocks: [], precision: 0, seed: 0 },
    },
    device: 'cpu',
    seconds: 1,
    sublayerEvaluations: 4,
    layers: [0, 1].map((block) => ({
      tensor: `layers.${block}.down.weight`,
      sublayer: `block.${block}.feedforward`,
      block,
      role: 'down' as const,
      out: 10,
      in: 10,
      parameters: 100,
      bytes: 200,
      flopsPerToken: 200,
      decodeMsPerToken: 0,
      prefillMsPerToken: 0,
      entries,
    })),
  };
}

const predicted = {
  compress: [{ tensor: 'layers.0.down.weight', method: 'int8', setting: 0 }],
  remove: ['block.1.attention'],
  widths: [],
  limits: [],
  cost: 1,
  costBefore: 2,
  sumOfDistances: 0.1,
} as const;

const choice: BudgetChoice = {
  limits: [{ unit: 'bytes', ratio: 0.5 }],
  context: 4096,
  schemes: [{ method: 'int8' }],
  removes: false,
  prunesWidths: false,
  embeddingAndHead: false,
};

const plan: MadePlan = {
  ...choice,
  result: { ...predicted, distance: 0.25, tried: [0.3, 0.25] },
};

const never = async (): Promise<never> => Promise.reject(new Error('not asked'));
/** Predicts one plan for any request. */
const plans = {
  survey: never,
  predict: never,
  predictPlan: async () => Promise.resolve(predicted),
};

function makeSession(stored?: StoredCompression) {
  const saved: StoredCompression[] = [];
  const session = new CompressionSession(
    model,
    '/models/small.sensitivity.json',
    { blocked: () => undefined, canPlan: true, save: (one) => saved.push(one), plans },
    stored,
  );
  const reported: string[] = [];
  session.changed.listen((fields) => reported.push(...fields));
  return { session, saved, told: reported };
}

describe('a compression session', () => {
  it('grows with the events of a job', () => {
    const { session, told } = makeSession();
    const measured: string[] = [];
    session.grown.listen(({ key }) => measured.push(key));
    session.applyEvent({ kind: 'sensitivity-started', table: makeTable() });
    expect(told).toContain('table');
    for (const method of ['int8', 'int4'] as const) {
      session.applyEvent({
        kind: 'sensitivity-entry',
        tensor: 'layers.1.down.weight',
        entry: makeEntry(method, 0.1),
      });
    }
    expect(measured).toEqual(['layers.1.down.weight', 'layers.1.down.weight']);
    const methods = session.table?.layers.map(({ entries }) => entries.map(({ method }) => method));
    expect(methods).toEqual([[], ['int8', 'int4']]);
    const grown = session.readEntries('measured', new Set(measured));
    expect(Object.values(grown).map(({ length }) => length)).toEqual([2]);
    expect(session.snapshot().findings.map(({ method }) => method)).toEqual(['int8', 'int4']);
  });

  it('offers removals measured by a profile of the same metric and model', () => {
    const { session } = makeSession();
    session.loadTable(makeTable());
    const profile = (metric: string, fingerprint: string) =>
      ({
        model: { ...model, fingerprint },
        settings: { metric },
        candidates: [
          { sublayer: 'block.0.attention', distance: 0.5 },
          { sublayer: 'block.1.attention', distance: null },
        ],
      }) as unknown as LayerProfile;
    session.loadProfile(profile('js', model.fingerprint));
    expect(session.removable).toEqual([{ sublayer: 'block.0.attention', distance: 0.5 }]);
    for (const other of [profile('kl', model.fingerprint), profile('js', 'other'), undefined]) {
      session.loadProfile(other);
      expect(session.removable).toEqual([]);
    }
  });

  it('remembers its plan', () => {
    const { session, saved } = makeSession();
    session.setPlan(plan);
    const [stored] = saved;
    expect(stored).toEqual({ fingerprint: model.fingerprint, plan });
    const again = makeSession(stored).session;
    expect(again.plan).toEqual(plan);
  });

  it('uses a plan that was only predicted, marked so in its document', async () => {
    const { session, saved } = makeSession();
    session.loadTable(makeTable());
    await session.usePredicted(choice);
    expect(session.plan).toEqual({ ...choice, result: predicted });
    expect(saved.at(-1)?.plan).toEqual(session.plan);
    expect(budgetPlan(session, '/models/small.plan.json')?.note).toBe(
      'budget 0.5 of bytes, sum of js 0.1000, not measured',
    );
  });

  it('writes its plan as a document', () => {
    const { session } = makeSession();
    expect(budgetPlan(session, '/models/small.plan.json')).toBeUndefined();
    session.loadTable(makeTable());
    session.setPlan(plan);
    expect(budgetPlan(session, '/models/small.plan.json')).toEqual({
      format: 'espalier.plan',
      version: 1,
      model: { path: 'small', fingerprint: model.fingerprint },
      remove: ['block.1.attention'],
      compress: plan.result.compress,
      note: 'budget 0.5 of bytes, js 0.2500, best of 2 plans measured',
    });
  });
});

describe('a sensitivity table', () => {
  it('can be cut to some schemes', () => {
    const table = makeTable([
      makeEntry('int8', 1),
      { ...makeEntry('lowrank', 2), then: 'int4' },
      { ...makeEntry('lowrank', 3), variant: 'plain' },
    ]);
    const left = (...schemes: Parameters<typeof withSchemes>[1]) =>
      withSchemes(table, schemes).layers[0]?.entries.map(({ distance }) => distance);
    expect(left({ method: 'int8' })).toEqual([1]);
    expect(left({ method: 'lowrank' })).toEqual([]);
    expect(
      left({ method: 'lowrank', then: 'int4' }, { method: 'lowrank', variant: 'plain' }),
    ).toEqual([2, 3]);
  });

  it('names its calibration text, to measure on it again', () => {
    const table = makeTable();
    const from = (source: string) =>
      profileCalibration({ ...table, calibration: { ...table.calibration, source } });
    expect(profileCalibration(table)).toEqual({ sequences: 2, length: 8 });
    expect(from('/texts/a.txt')).toEqual({ file: '/texts/a.txt', sequences: 2, length: 8 });
    expect(from('random (seed 3)')).toEqual({ file: 'random', sequences: 2, length: 8 });
  });
});
