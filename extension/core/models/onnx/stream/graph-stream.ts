import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { GraphIndex } from '../graph-index';
import type { Mixture } from '../mixtures/mixture';
import type { OnnxSummary } from '../onnx-summary';
import type { ResidualBranch } from './residual-stream';
import type { Wrapping, Scope } from '../edits/wrapped-graph';

/** An ONNX model with the removable branches of its residual stream. */
export interface OnnxModel {
  /** File whose graph `index` describes. */
  readonly file: OnnxFile;
  /** Index of the stored graph, with parallel branches added in sequence. */
  readonly index: GraphIndex;
  readonly branches: readonly ResidualBranch[];
  readonly summary: OnnxSummary;
  /** MoE layers with removable experts, by branch. */
  readonly mixtures: ReadonlyMap<number, Mixture>;
  /**
   * Graph of the other branch, if the layers are inside an If. The If of this model's graph is replaced by the branch
   * with fewer inputs, such as the one without cache.
   */
  readonly other?: OnnxMode;
  readonly place?: PlaceInFile;
  /** Bytes of weights in memory, by name, if they don't run as float32. */
  readonly memory?: ReadonlyMap<string, number>;
}

export type StreamOfGraph = Pick<OnnxModel, 'file' | 'index' | 'branches'>;

/** Location of the nodes of a flat graph in the file. */
export interface PlaceInFile {
  readonly wrapping: Wrapping;
  readonly scopeOf: (proto: NodeProto) => Scope;
}

/** One of the two If branches. Both have the same sublayers in the same order, or this one has none. */
export type OnnxMode = StreamOfGraph & { readonly place: PlaceInFile };
