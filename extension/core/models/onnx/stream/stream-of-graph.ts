import type { OnnxFile } from '../../../checkpoints/onnx-file';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import type { GraphIndex } from '../graph-index';
import type { Mixture } from '../mixtures/mixture';
import type { OnnxSummary } from '../onnx-summary';
import type { ResidualBranch } from './residual-stream';
import type { Wrapping, Scope } from '../edits/wrapped-graph';

/** An ONNX model with the removable branches of its residual stream. */
export interface OnnxModel {
  /** Its graph is the one that `index` is of. */
  readonly file: OnnxFile;
  /** Of the graph as stored, but that parallel branches are added one after the other. */
  readonly index: GraphIndex;
  readonly branches: readonly ResidualBranch[];
  readonly summary: OnnxSummary;
  /** The mixtures whose experts can be taken out one by one, by branch. */
  readonly mixtures: ReadonlyMap<number, Mixture>;
  /**
   * Where the layers lie inside of an If: the graph is then that of one branch, put in the place of the
   * If, and this is the graph of the other. The branch that needs less, such as no cache, comes first.
   */
  readonly other?: OnnxMode;
  readonly place?: PlaceInFile;
  /** Bytes that weights take where they run, by name, where that is not as float32. */
  readonly memory?: ReadonlyMap<string, number>;
}

export type StreamOfGraph = Pick<OnnxModel, 'file' | 'index' | 'branches'>;

/** Where the nodes of a flat graph stand in the file. */
export interface PlaceInFile {
  readonly wrapping: Wrapping;
  readonly scopeOf: (proto: NodeProto) => Scope;
}

/** One of two ways that a graph runs, which have the same sublayers in the same order, or of which this has none. */
export type OnnxMode = StreamOfGraph & { readonly place: PlaceInFile };
