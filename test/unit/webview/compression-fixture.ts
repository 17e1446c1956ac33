import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import type { Entry, Layer, EmbeddingOrHead, Role } from '../../../webview/compression/types';
import { makeModel } from './heatmap-fixture';

export const int8 = (distance: number): Entry => ({
  method: 'int8',
  setting: 0,
  distance,
  error: 0.01,
  parameters: 10,
  bytes: 10,
  flopsPerToken: 20,
  decodeMsPerToken: 0,
  prefillMsPerToken: 0,
});

export const lowRank = (setting: number, bytes: number, distance: number): Entry => ({
  method: 'lowrank',
  setting,
  then: 'int4',
  distance,
  error: 0.2,
  outputError: 0.1,
  parameters: bytes / 2,
  bytes,
  flopsPerToken: bytes,
  decodeMsPerToken: 0,
  prefillMsPerToken: 0,
});

export function makeLayer(block: number, role: Role, entries: readonly Entry[], more = ''): Layer {
  return {
    tensor: `layers.${block}.${role}${more}.weight`,
    sublayer: `block.${block}.${role === 'down' ? 'feedforward' : 'attention'}`,
    block,
    role,
    out: 2,
    in: 5,
    parameters: 10,
    bytes: 20,
    flopsPerToken: 20,
    decodeMsPerToken: 0,
    prefillMsPerToken: 0,
    entries,
  };
}

function getEmbeddingAndHead(
  place: EmbeddingOrHead['place'],
  distance: number,
  flopsPerToken: number,
): EmbeddingOrHead {
  const {
    out,
    in: width,
    parameters,
    bytes,
    decodeMsPerToken,
    prefillMsPerToken,
  } = makeLayer(0, 'other', []);
  return {
    ...{ tensor: `${place}.weight`, place, out, in: width, parameters, bytes },
    ...{ decodeMsPerToken, prefillMsPerToken },
    ...{ flopsPerToken, entries: [{ ...int8(distance), flopsPerToken }] },
  };
}

export const outside = (): [EmbeddingOrHead, EmbeddingOrHead] => [
  getEmbeddingAndHead('embedding', 1e-3, 0),
  getEmbeddingAndHead('head', 1, 20),
];
export const tied = (): EmbeddingOrHead => ({
  ...getEmbeddingAndHead('embedding', 1, 20),
  tiedTo: 'head.weight',
});

/** Two blocks with a query and a down projection each; the model has 100 parameters in 200 bytes. */
export function makeTable(changes: Partial<SensitivityProfile> = {}): SensitivityProfile {
  const entries = [int8(1e-4), lowRank(4, 12, 1e-3), lowRank(2, 6, 1e-2)];
  return {
    format: 'espalier.sensitivity',
    version: 1,
    created: '2026-01-01T00:00:00.000Z',
    versions: { espalier: '0', onnxruntime: '0', node: '0' },
    machine: { platform: 'linux', processor: 'x', cores: 1 },
    model: makeModel(2),
    calibration: { source: 'bundled', sequences: 2, length: 8, tokens: 16, fingerprint: 'c' },
    metric: 'js',
    metricDefinition: 'JS',
    original: 0,
    settings: {
      compressions: [{ method: 'int8' }, { method: 'lowrank', then: 'int4' }],
      metric: 'js',
      roles: [],
      blocks: [],
      precision: 0,
      seed: 0,
    },
    device: 'cpu',
    seconds: 1,
    sublayerEvaluations: 4,
    layers: [
      makeLayer(0, 'down', entries),
      makeLayer(0, 'query', entries),
      makeLayer(1, 'down', [int8(2e-4)]),
      makeLayer(1, 'query', [int8(5e-5)]),
    ],
    ...changes,
  };
}
