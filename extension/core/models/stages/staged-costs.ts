import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { encodingFlops, encodingTensors } from '../encodings/encoding-facts';
import type { MatrixEncoding } from '../matrix-encoding';
import type { ModelSummary, SublayerSummary } from '../model-summary';
import { dtypesWith, fingerprintEncodings } from '../transformer/linear-layers';
import { runningCosts, weightCounter } from '../modules/costs';
import type { RunningCosts } from '../transformer/tapped-part';
import type { Piece, PieceLinear } from './piece';
import type { StagedKind } from './staged-family';

/** Sublayers of a layout, as far as their costs depend on them. */
interface StagedParts {
  readonly sublayers: readonly {
    readonly id: string;
    readonly block: number;
    readonly kind: StagedKind;
    readonly branch: Piece;
  }[];
}

/** Number of weights in these tensors. Encoded weights count as the weights that they represent. */
export function weightsIn(tensors: readonly LazyTensor[], linears: readonly PieceLinear[]): number {
  const count = weightCounter(linears.map(({ linear }) => linear));
  return tensors.reduce((sum, tensor) => sum + count(tensor), 0);
}

export const bytesIn = (tensors: readonly LazyTensor[]): number =>
  tensors.reduce((sum, { length }) => sum + length, 0);

/** Returns parameters, bytes and FLOPs of each sublayer. */
export function summarizeStages({ sublayers }: StagedParts): readonly SublayerSummary[] {
  return sublayers.map(({ id, block, kind, branch }) => {
    const { tensors, linears = [] } = branch;
    const others = plainTensors(branch).filter(({ shape }) => shape.length > 1);
    const formed = linears.flatMap(({ linear: { encoding } }) => encoding ?? []);
    return {
      ...{ id, block, kind },
      parameters: weightsIn(tensors, linears),
      bytes: bytesIn(tensors),
      // A token is a pixel of the stream, which uses each weight of a matrix or kernel once.
      flopsPerToken:
        2 * weightsIn(others, []) + formed.reduce((sum, form) => sum + encodingFlops(form), 0),
      kvBytesPerToken: 0,
    };
  });
}

/** Tensors of a piece that aren't part of an encoding. */
export function plainTensors({ tensors, linears = [] }: Piece): readonly LazyTensor[] {
  const encodedTensors = new Set(
    linears.flatMap(({ linear: { encoding } }) =>
      encoding === undefined ? [] : encodingTensors(encoding),
    ),
  );
  return tensors.filter((tensor) => !encodedTensors.has(tensor));
}

/** Costs of a session that runs a piece. */
export const pieceCosts = (piece: Piece): RunningCosts =>
  runningCosts(
    plainTensors(piece),
    (piece.linears ?? []).map(({ linear }) => linear),
  );

/** Returns `summary` updated for linear layers with these encodings. */
export function withEncodingCosts(
  summary: ModelSummary,
  before: StagedParts,
  after: StagedParts,
  forms: ReadonlyMap<string, MatrixEncoding>,
): ModelSummary {
  const sublayerTensors = ({ sublayers }: StagedParts): readonly LazyTensor[] =>
    sublayers.flatMap(({ branch }) => branch.tensors);
  const [old, formed] = [sublayerTensors(before), sublayerTensors(after)];
  const sublayers = summarizeStages(after);
  const difference = (cost: 'parameters' | 'bytes'): number =>
    sublayers.reduce((sum, one, i) => sum + one[cost] - (summary.sublayers[i]?.[cost] ?? 0), 0);
  return {
    ...summary,
    parameters: summary.parameters + difference('parameters'),
    bytes: summary.bytes + difference('bytes'),
    dtypes: dtypesWith(summary.dtypes, old, formed),
    sublayers,
    fingerprint: fingerprintEncodings(summary.fingerprint, forms),
  };
}
