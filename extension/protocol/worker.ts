import type { Piece } from './pieces';
import type { DocumentId } from '../core/document-names';
import type { OutputAnswer } from '../core/export/output-options';
import type { AskedChanges } from '../core/export/writable';
import type { Diagram } from '../core/inspect/flow/diagram';
import type { UnknownFlow } from '../core/inspect/flow/flow-document';
import type { CompareRequest, ModelComparison } from '../core/inspect/model-comparison';
import type { ModelDescription, StoredTensor } from '../core/inspect/model-description';
import type { TensorStatistics } from '../core/inspect/tensor-statistics';
import type { StageProgress, WorkerTally } from '../core/jobs/job';
import type { Capabilities } from '../core/models/capabilities';
import type { Message } from '../core/message';
import type { ModelSummary } from '../core/models/model-summary';
import type { NarrowedModel } from '../core/models/narrow/describe-narrowed';
import type { PlannedChanges } from '../core/models/narrow/narrow-model';
import type { ErrorSubject } from '../core/user-error';
import type { OperationContext } from '../core/operations/operation';
import type { Front } from '../core/operations/pareto';
import type { ConverseRequest, GenerationResult } from '../core/operations/generate';
import type { OperationId, OperationOf } from '../core/operations/operations';
import type { PlanProblem } from '../core/plans/plan-problems';
import type { LinearRole, OuterPlace } from '../core/models/matrix-encoding';
import type { ProfileEvaluation } from '../core/prune/layer-profile';
import type { ExportFormat } from './explorer';
import type { EvolutionState, EvolutionView } from '../core/symbolic/evolution/evolution-view';
import type { CompressionPlan } from '../core/tensornet/budget/plan-under-budget';
import type { CompressionChoice, CompressionRequest } from '../core/tensornet/compression-choice';

export interface InspectRequest {
  /** A model folder, its config.json, a .safetensors file or its index; a .gguf or .onnx file. */
  readonly model: string;
}

/** What a model is and what it can do. */
export interface InspectedModel {
  readonly summary: ModelSummary;
  readonly capabilities: Capabilities;
}

/** Asks what a model can be written as with some changes. */
export interface OutputsRequest extends AskedChanges {
  readonly model: string;
}

/** Asks what is left of sublayers that a plan narrows. */
export interface NarrowedRequest extends PlannedChanges {
  readonly model: string;
}

/** Asks which linear layers a compression is for. */
export interface ChooseLayersRequest {
  readonly model: string;
  readonly compression: CompressionRequest;
  /** Roles of layers that stay as they are. */
  readonly skip: readonly LinearRole[];
  /** Matrices outside the sublayers that are compressed as well; none when absent. */
  readonly outer?: readonly OuterPlace[];
}

export interface ChosenLayers {
  readonly choices: readonly CompressionChoice[];
  /** Layers that would not be smaller in this form. */
  readonly unfit: number;
}

/** Asks what is wrong with the text of a plan. */
export interface CheckPlanRequest {
  readonly file: string;
  readonly text: string;
}

/** Asks to write a model's structure to a file. */
export interface ExportStructureRequest extends InspectRequest {
  readonly format: Exclude<ExportFormat, 'markdown'>;
  /** Of tensors, as far as they were read. */
  readonly statistics: Readonly<Record<string, TensorStatistics>>;
  readonly file: string;
}

/** Asks what is shown of a document: of its file, or of the text of an editor. */
export interface DocumentRequest {
  readonly id: DocumentId;
  readonly file: string;
  readonly text?: string;
}

/** Asks to put perplexities that were measured after the search into the layer profile they belong to. */
export interface KeepEvaluationsRequest {
  readonly profile: string;
  /** Of the model that they were measured of. */
  readonly fingerprint: string;
  readonly evaluations: readonly ProfileEvaluation[];
}

/** Where a tensor's numbers lie, as a description tells it. */
export interface StatisticsRequest {
  readonly tensor: StoredTensor;
}

/** How the data flow of a model is to be drawn. */
export interface DiagramRequest {
  readonly model: string;
  /** Ids of groups that are opened, and of runs that are unfolded. */
  readonly open: readonly string[];
  /** Another model that is drawn into the same diagram. */
  readonly against?: string;
  /** A JSON file of numbers that are drawn on it. */
  readonly values?: string;
  /** A JSON file of texts in the language that is shown, by their English; none for English. */
  readonly catalogue?: string;
}

/** Asks how long an operation would take. */
export interface EstimateRequest {
  readonly operation: OperationId;
  readonly request: object;
}

/**
 * Requests answered by the inspector, a process beside the worker: it reads headers and bytes, runs
 * no model and waits for no job.
 */
export interface InspectorRequests {
  /** A `ShownContent`, by its id. */
  document: [DocumentRequest, unknown];
  keepEvaluations: [KeepEvaluationsRequest, null];
  viewEvolution: [EvolutionState, EvolutionView];
  exportStructure: [ExportStructureRequest, null];
  describe: [InspectRequest, ModelDescription];
  statistics: [StatisticsRequest, TensorStatistics];
  diagram: [DiagramRequest, Diagram | UnknownFlow];
  compare: [CompareRequest, ModelComparison];
  open: [InspectRequest, InspectedModel];
  narrowed: [NarrowedRequest, NarrowedModel];
  outputs: [OutputsRequest, readonly OutputAnswer[]];
  /** Whether each linear layer can get a type of its own in a GGUF file. */
  canTypeLayers: [InspectRequest, boolean];
  chooseLayers: [ChooseLayersRequest, ChosenLayers];
  checkPlan: [CheckPlanRequest, readonly PlanProblem[]];
  /** Plans of all sizes by single changes; none is written. */
  front: [RequestOfOperation<'pareto'>, Front];
  /** The plan of a request by single changes, without running the model. */
  predictPlan: [
    RequestOfOperation<'plan-compression'> & { readonly sensitivity: string },
    CompressionPlan,
  ];
  /** Seconds by earlier runs on this machine; null where none tells. */
  estimate: [EstimateRequest, number | null];
}

/** The request of an operation, and its result. */
type OperationRequest<Id extends OperationId> = [
  Parameters<OperationOf<Id>['run']>[0],
  Awaited<ReturnType<OperationOf<Id>['run']>>,
];

/**
 * Requests answered by the worker, as [params, result]: every operation, and how long one would take. Each is cancelled by
 * vscode-jsonrpc's cancellation token and reports through {@link JobNotification} under the `job` id it
 * was sent with.
 */
export type WorkerRequests = { readonly [Id in OperationId]: OperationRequest<Id> } & {
  /** Seconds by earlier runs on this machine or a short one; null where neither tells, or it is little work. */
  readonly expect: [EstimateRequest, number | null];
  /** As `generate`, behind what was said before; the models stay open for the next prompt. */
  readonly converse: [ConverseRequest, GenerationResult];
};

/** A complete request of an operation. */
export type RequestOfOperation<Id extends OperationId> = OperationRequest<Id>[0];

type OperationEvent<Id extends OperationId> =
  Parameters<OperationOf<Id>['run']>[1] extends OperationContext<infer E> ? E : never;

/** Partial results that jobs tell, by request. */
export type WorkerEvents = {
  readonly [Id in OperationId]: OperationEvent<Id>;
};
export type JobEvent = WorkerEvents[keyof WorkerEvents];
/** What a request tells: nothing where it is none of {@link WorkerEvents}. */
export type EventOf<M> = M extends keyof WorkerEvents ? WorkerEvents[M] : never;

/** Requests of a child process, by method, as [params, result]. */
export type Requests<R> = { readonly [M in keyof R]: [object, unknown] };

/** Parameters as they travel: the request and the id its notifications carry. */
export interface JobEnvelope<Request = unknown> {
  readonly job: number;
  /** Absent where it came in pieces. */
  readonly request?: Request;
  /** Whether the answer comes as a {@link SentPiece}, and what follows it by {@link nextPiece}. */
  readonly inPieces?: true;
}

/** Name on the wire of a piece of a request that comes before it, as a {@link RequestPiece}. */
export const requestPiece = 'request-piece';

export interface RequestPiece {
  readonly job: number;
  readonly piece: Piece;
}

/** Name on the wire of the request for the next piece of an answer, with the `job` it is for. */
export const nextPiece = 'next-piece';

/** The one notification from the worker: what a running job has to tell. */
export interface JobNotification {
  readonly job: number;
  readonly message:
    | { readonly kind: 'progress'; readonly progress: StageProgress }
    | { readonly kind: 'event'; readonly event: JobEvent }
    | { readonly kind: 'warning'; readonly warning: Message }
    | { readonly kind: 'information'; readonly information: Message }
    | { readonly kind: 'workers'; readonly workers: readonly WorkerTally[] };
}

/** Name of {@link JobNotification} on the wire. */
export const jobNotification = 'job';

/** `data` of a JSON-RPC error: what kind of failure it was. */
export type WorkerErrorData =
  | { readonly kind: 'user'; readonly problem: Message; readonly subject: ErrorSubject }
  | { readonly kind: 'cancelled' | 'internal' };
