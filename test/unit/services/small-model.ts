import type { ModelSummary, SublayerKind } from '../../../extension/core/models/model-summary';

/** A summary of a model that exists nowhere: `blocks` blocks of 100 + 200 parameters. */
export function smallModel(blocks: number): ModelSummary {
  const kinds: readonly SublayerKind[] = ['attention', 'feedforward'];
  return {
    name: 'small',
    path: '/models/small',
    architecture: 'llama',
    parameters: blocks * 300 + 1000,
    bytes: blocks * 600 + 2000,
    dtypes: { F16: blocks * 600 + 2000 },
    blocks,
    hiddenSize: 8,
    vocabularySize: 64,
    maxPositions: 128,
    tiedHead: true,
    sublayers: Array.from({ length: blocks }, (_, block) =>
      kinds.map((kind) => ({
        id: `block.${block}.${kind}`,
        block,
        kind,
        parameters: kind === 'attention' ? 100 : 200,
        bytes: kind === 'attention' ? 200 : 400,
        flopsPerToken: kind === 'attention' ? 200 : 400,
        kvBytesPerToken: kind === 'attention' ? 32 : 0,
      })),
    ).flat(),
    fingerprint: 'f'.repeat(64),
    warnings: [],
  };
}
