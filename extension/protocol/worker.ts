import type { CalibrationRequest } from '../core/data/calibration';
import type { EvaluationResult } from '../core/evaluate/evaluation';
import type { LayoutName } from '../core/export/layouts';
import type { OutputAnswer } from '../core/export/output-options';
import type { AskedChanges } from '../core/export/writable';
import type { PruneResult } from '../core/export/prune-result';
import type { ModelFormat } from '../core/models/opened-model';
import type { Diagram } from '../core/inspect/flow/diagram';
import type { UnknownFlow } from '../core/inspect/flow/flow-document';
import type { CompareRequest, ModelComparison } from '../core/inspect/model-comparison';
import type { ModelDescription, StoredTensor } from '../core/inspect/model-description';
import type { TensorStatistics } from '../core/inspect/tensor-statistics';
import type { StageProgress } from '../core/jobs/job';
import type { Capabilities } from '../core/models/capabilities';
import type { ModelSummary } from '../core/models/model-summary';
import type { LayerProfile, ProfileEvent } from '../core/prune/layer-profile';
import type { SearchSettings } from '../core/prune/options';
import type { CompressResult } from '../core/export/compression/compress-model';
import type { PatchResult } from '../core/export/patching/patch-model';
import type { ChoiceProblem } from '../core/export/compression/layer-choices';
import type { RepairResult, TrainedLayers } from '../core/export/compression/repair-model';
import type { PlannedPatch, Plan } from '../core/export/plan';
import type { LinearRole, OuterPlace } from '../core/models/matrix-encoding';
import type { DeviceChoice, DeviceReport } from '../core/runtime/device';
import type { CompressionBudget, RemovalCost } from '../core/tensornet/budget/plan-under-budget';
import type { RefinedPlan } from '../core/tensornet/budget/refine-plan';
import type { CompressionChoice, CompressionRequest } from '../core/tensornet/compression-choice';
import type {
  SensitivityEvent,
  SensitivitySettings,
  SensitivityProfile,
} from '../core/tensornet/sensitivity/sensitivity-profile';
import type { Way } from '../core/tensornet/sensitivity/ways';
import type { EvolutionEvent } from '../core/symbolic/evolution/evolve';
import type { SynthesisRequest, SynthesisResult } from '../core/symbolic/evolution/synthesize';
import type {
  CompareSubsetsRequest,
  CompareSubsetsResult,
  ScoreDataRequest,
  ScoreDataResult,
} from './data';

/** Settings shared by every request that runs a model. */
export interface RunOptions {
  readonly device: DeviceChoice;
  /** Bytes that sessions and kept states may take together. */
  readonly memoryBytes: number;
}

export interface InspectRequest {
  /** A model folder, its config.json, a .safetensors file or its index; a .gguf or .onnx file. */
  readonly model: string;
}

export interface ProfileRequest extends RunOptions {
  readonly model: string;
  readonly calibration: CalibrationRequest;
  readonly settings: SearchSettings;
  /** Where the profile is written (`*.layerprofile.json`); the journal lies beside it until done. */
  readonly out: string;
}

export interface PruneRequest extends RunOptions {
  readonly model: string;
  readonly plan: Plan;
  /** The folder that files of the plan are relative to. */
  readonly planFolder?: string;
  readonly out: string;
  readonly format: ModelFormat;
  /** Of the format; the usual one when absent. */
  readonly layout?: LayoutName;
  /** Replace an existing folder at `out`. Without it an existing folder is an error. */
  readonly overwrite: boolean;
  /** Calibration of the profile, on whose examples the result is checked where it holds such. */
  readonly examples?: string;
  /** What compression is calibrated with, as far as somebody has said it. */
  readonly calibration?: Partial<CalibrationRequest>;
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

export interface EvaluateRequest extends RunOptions {
  readonly model: string;
  /** Sublayer ids to skip, so that a plan can be judged before it is written. */
  readonly removed: readonly string[];
  /** Patches that stand in the places of some of those; none when absent. */
  readonly patch?: readonly PlannedPatch[];
  /** A second model to compare with. */
  readonly against?: string;
  /** Held-out text; the bundled one when absent. */
  readonly text?: string;
}

export interface ScoreTextRequest extends RunOptions {
  readonly model: string;
  /** A .txt, .md or .jsonl file; the bundled text when absent. */
  readonly file?: string;
  /** Tokens per window. */
  readonly length: number;
  /** Where the scores are written (`*.textscores.json`); the journal lies beside it until done. */
  readonly out: string;
}

export interface ScoreTextResult {
  readonly windows: number;
  /** Mean EL2N of the windows. */
  readonly mean: number;
}

export interface SensitivityRequest extends RunOptions {
  readonly model: string;
  readonly calibration: CalibrationRequest;
  readonly settings: SensitivitySettings;
  /** Where the table is written (`*.sensitivity.json`); the journal lies beside it until done. */
  readonly out: string;
}

export interface PlanBudgetRequest extends RunOptions {
  readonly model: string;
  /** Path of a sensitivity table of the model; plans are measured on its calibration. */
  readonly table: string;
  /** Ways to compress that the plan may take. */
  readonly ways: readonly Way[];
  /** Whether it may compress embedding and head, where the table has measured them. */
  readonly outer: boolean;
  readonly budget: CompressionBudget;
  readonly removable: readonly RemovalCost[];
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

/** Asks what is wrong with the compressions of a plan. */
export interface CheckChoicesRequest {
  readonly model: string;
  readonly choices: readonly CompressionChoice[];
  /** Ids as they stand in a plan. */
  readonly removed: readonly string[];
}

export interface RepairModelRequest extends RunOptions {
  readonly model: string;
  readonly teacher: string;
  readonly text: CalibrationRequest;
  readonly trains: TrainedLayers;
  /** Whether the whole model is trained at once afterwards; where it can be when absent. */
  readonly endToEnd?: boolean;
  readonly out: string;
  readonly overwrite: boolean;
}

/** A symbolic patch to fit for a sublayer; epochs and seed are the usual ones. */
export interface PatchLayerRequest extends RunOptions {
  readonly model: string;
  readonly sublayer: string;
  readonly text: CalibrationRequest;
  /** The new folder, written where the patch is accepted, or in any case with `anyway`. */
  readonly out: string;
  readonly format: ModelFormat;
  readonly anyway: boolean;
  /** Graphs to try; the usual number when absent. */
  readonly graphs?: number;
  /** A plan to write, or to put the patch into where it is there. */
  readonly plan: string;
  readonly overwrite: boolean;
}

/** The evolution to run; the version is the worker's own. */
export type SynthesizeRequest = Omit<SynthesisRequest, 'version'>;

/** Where a tensor's numbers lie, as a description tells it. */
export interface StatisticsRequest {
  readonly tensor: StoredTensor;
}

/** How the data flow of a model is to be drawn. */
export interface DiagramRequest {
  readonly model: string;
  /** Ids of groups that are opened, and of runs that are unfolded. */
  readonly open: readonly string[];
}

/**
 * Requests answered by the inspector, a process beside the worker: it reads headers and bytes, runs
 * no model and waits for no job.
 */
export interface InspectorRequests {
  describe: [InspectRequest, ModelDescription];
  statistics: [StatisticsRequest, TensorStatistics];
  diagram: [DiagramRequest, Diagram | UnknownFlow];
  compare: [CompareRequest, ModelComparison];
  inspect: [InspectRequest, InspectedModel];
  outputs: [OutputsRequest, readonly OutputAnswer[]];
  chooseLayers: [ChooseLayersRequest, ChosenLayers];
  checkChoices: [CheckChoicesRequest, readonly ChoiceProblem[]];
}

/**
 * Requests answered by the worker, as [params, result]. Each is cancelled by vscode-jsonrpc's
 * cancellation token and reports through {@link JobNotification} under the `job` id it was sent with.
 */
export interface WorkerRequests {
  devices: [Record<string, never>, readonly DeviceReport[]];
  profile: [ProfileRequest, LayerProfile];
  prune: [PruneRequest, PruneResult | CompressResult];
  sensitivity: [SensitivityRequest, SensitivityProfile];
  planBudget: [PlanBudgetRequest, RefinedPlan];
  /** The same as `prune`, under the name of what the user has asked for. */
  compress: [PruneRequest, PruneResult | CompressResult];
  repair: [RepairModelRequest, RepairResult];
  patch: [PatchLayerRequest, PatchResult];
  evaluate: [EvaluateRequest, EvaluationResult];
  scoreData: [ScoreDataRequest, ScoreDataResult];
  compareSubsets: [CompareSubsetsRequest, CompareSubsetsResult];
  scoreText: [ScoreTextRequest, ScoreTextResult];
  synthesize: [SynthesizeRequest, SynthesisResult];
}

/** Partial results that jobs tell, by request. */
export interface WorkerEvents {
  profile: ProfileEvent;
  sensitivity: SensitivityEvent;
  synthesize: EvolutionEvent;
}
export type JobEvent = WorkerEvents[keyof WorkerEvents];
/** What a request tells: nothing where it is none of {@link WorkerEvents}. */
export type EventOf<M> = M extends keyof WorkerEvents ? WorkerEvents[M] : never;

/** Requests of a child process, by method, as [params, result]. */
export type Requests<R> = { readonly [M in keyof R]: [object, unknown] };

/** Parameters as they travel: the request and the id its notifications carry. */
export interface JobEnvelope<Request = unknown> {
  readonly job: number;
  readonly request: Request;
}

/** The one notification from the worker: what a running job has to tell. */
export interface JobNotification {
  readonly job: number;
  readonly message:
    | { readonly kind: 'progress'; readonly progress: StageProgress }
    | { readonly kind: 'event'; readonly event: JobEvent }
    | { readonly kind: 'warning'; readonly text: string };
}

/** Name of {@link JobNotification} on the wire. */
export const jobNotification = 'job';

/** `data` of a JSON-RPC error: what kind of failure it was. */
export interface WorkerErrorData {
  readonly kind: 'user' | 'cancelled' | 'internal';
  readonly file?: string;
  readonly field?: string;
  readonly remedy?: string;
}
