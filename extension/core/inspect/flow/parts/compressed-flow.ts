import type { AttentionShape, AttentionWeights } from '../../../models/modules/attention-heads';
import type {
  CompressedParts,
  Compressor,
} from '../../../models/parts/compressed/compressed-parts';
import type { LazyTensor } from '../../../checkpoints/lazy-tensor';
import type { Linear } from '../../../models/parts/linear';
import type { Rotary } from '../../../models/parts/rotary';
import { partTensors } from '../../../models/transformer/part-tensors';
import { counted, listed, say, verbatim } from '../../../message';
import type { Message } from '../../../message';
import type { BranchBuilder } from '../branch-builder';
import type { BranchFlow } from '../branch-flow';
import type { Wire } from '../flow-builder';

const compressorTensors = ({ values, gate, places, norm }: Compressor): LazyTensor[] => [
  ...[values, gate, norm].flatMap((part) => partTensors(part)),
  places,
];

/** Attention to near tokens and compressed runs, without what it does to the streams. */
export function compressedFlow(
  branch: BranchBuilder,
  { norm, numHeads, headDim, hiddenSize }: AttentionShape,
  {
    compressed,
    ...weights
  }: AttentionWeights & {
    readonly compressed: CompressedParts;
  },
  {
    rotary,
    slidingWindow,
  }: { readonly rotary: Rotary | undefined; readonly slidingWindow?: number | undefined },
  input: Wire,
): BranchFlow {
  const { groups, compressor, indexer } = compressed;
  const [batch = '', sequence = ''] = input.shape;
  const x = branch.norm('norm', norm, input, weights.norm);
  const [down, up, keyValue] = weights.queryKeyValue;
  const linear = (name: string, label: Message, from: Wire, part: Linear | undefined): Wire =>
    part === undefined ? from : branch.linear(name, label, from, part);
  const turned = (name: string, label: Message, heads: Wire): Wire =>
    branch.add(name, 'operator', label, [heads], {
      detail: say`rotary, ${rotary?.dimensions ?? 0} of ${headDim} dimensions`,
    });
  const latent = branch.norm(
    'latent-norm',
    norm,
    linear('latent', say`Latent of queries`, x, down),
    weights.latentNorms?.query,
  );
  const query = branch.norm('query-norm', norm, linear('query', say`Query`, latent, up), {});
  const q = turned('rotate-query', say`Rotate query`, {
    ...query,
    shape: [batch, sequence, numHeads, headDim],
  });
  const own = branch.norm(
    'key-norm',
    norm,
    linear('key', say`Key and value`, x, keyValue),
    weights.latentNorms?.keyValue,
  );
  const near = branch.add(
    'cache',
    'cache',
    say`Key/value cache`,
    [turned('rotate-key', say`Rotate key`, own)],
    { detail: say`${headDim} numbers per token` },
  );
  const runs =
    compressor === undefined
      ? []
      : [
          branch.add('compressor', 'weights', say`Compressed runs`, [x], {
            shape: [batch, 'runs', headDim],
            detail: say`a key for ${compressor.rate} tokens`,
            tensors: compressorTensors(compressor),
          }),
        ];
  const chosen =
    indexer === undefined
      ? []
      : [
          branch.add(
            'indexer',
            'weights',
            say`Choose ${indexer.best} runs per token`,
            [x, latent],
            {
              shape: [batch, sequence, 'runs'],
              detail: say`${counted(indexer.numHeads, 'head')} × ${indexer.headDim}`,
              tensors: [
                ...compressorTensors(indexer.compressor),
                ...[indexer.query, indexer.weights].flatMap((part) => partTensors(part)),
              ],
            },
          ),
        ];
  const headsText = say`${counted(numHeads, 'head')} × ${headDim}`;
  const seen = slidingWindow === undefined ? [] : [say`window of ${slidingWindow}`];
  const context = branch.add(
    'attention',
    'attention',
    verbatim('Softmax(q·kᵀ)·k'),
    [q, near, ...runs, ...chosen],
    {
      detail: listed([headsText, ...seen, say`a sink per head`]),
      shape: [batch, sequence, numHeads * headDim],
      tensors: [weights.sinks],
    },
  );
  const back = turned('rotate-back', say`Rotate back`, context);
  const inner = branch.linear('groups', say`Output of groups of heads`, back, groups);
  const out = branch.linear('output', say`Output`, inner, weights.output, hiddenSize);
  return { group: branch.group(say`Attention`, headsText), out };
}
