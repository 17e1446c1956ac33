import { integer, minValue, number, picklist, pipe, string, tuple } from 'valibot';
import type { CalibrationSummary } from '../core/data/calibration';
import type { Drift } from '../core/evaluate/drift';
import type { Message } from '../core/message';
import type { Unable } from '../core/models/capabilities';
import type { ModelSummary } from '../core/models/model-summary';
import type { WidthPrunedSublayer } from '../core/models/width-pruning/describe-width-pruned';
import type {
  CandidateDistance,
  ProfileEvaluation,
  Round,
  SearchCost,
  Stability,
} from '../core/prune/layer-profile';
import type { GraphJson } from '../core/symbolic/random-graph';
import type { BaselineName, SearchSettings } from '../core/prune/options';
import type { OfferedType, PlannedSizes } from './frontier';
import type { PanelJob } from './jobs';
import type { ManualMarks } from './marks';
import type { CallSchemas } from './panel';

export type { WidthPrunedSublayer } from '../core/models/width-pruning/describe-width-pruned';
export type { CandidateStability } from '../core/prune/layer-profile';
export type { Drift, SublayerDrift } from '../core/evaluate/drift';

/** A profile as far as it is known: complete when loaded from a document, growing while a search runs. */
export interface ProfileState {
  readonly settings: SearchSettings;
  readonly metricDefinition: string;
  readonly calibration: CalibrationSummary;
  readonly stability?: Stability;
  readonly candidates: readonly CandidateDistance[];
  readonly cosineLocal: readonly CandidateDistance[];
  readonly rounds: readonly Round[];
  readonly baselines: Readonly<Partial<Record<BaselineName, readonly Round[]>>>;
  readonly evaluations: readonly ProfileEvaluation[];
  /** Device of the search. */
  readonly device?: string;
  /** Absent while the search runs. */
  readonly search?: SearchCost;
}

/** One line of the preview of config.json. */
export interface ConfigChange {
  readonly line: string;
  readonly change: 'same' | 'removed' | 'added';
}

/** A symbolic patch that replaces a sublayer. */
export interface ShownPatch {
  readonly program: string;
  /** Absent if the program doesn't build a valid graph, for example after manual edits. */
  readonly graph?: GraphJson;
  /** `model` if the model contains it, `plan` if a plan adds it. */
  readonly place: 'model' | 'plan';
  /** Its own, of a planned one. */
  readonly parameters?: number;
}

/** Everything the heatmap panel draws from. The host owns it; the webview never guesses. */
export interface HeatmapState {
  readonly model: ModelSummary;
  readonly profile: ShownProfile | undefined;
  /** Distances of the profile's candidates, by candidate. */
  readonly candidates: Readonly<Record<string, CandidateDistance>>;
  readonly job: PanelJob;
  /** Rounds of the profile applied in the current selection, or undefined when edited by hand. */
  readonly selectedRounds: number | undefined;
  /** Rounds that the slider is at. */
  readonly slider: number;
  /** Marks that moving the slider keeps. */
  readonly byHand: ManualMarks;
  /** Sublayer ids chosen for removal, in order of removal where known. */
  readonly removed: readonly string[];
  /** Sublayer ids that must stay. */
  readonly protectedIds: readonly string[];
  /** Existing and planned patches, by the id of the sublayer they replace. */
  readonly patches: Readonly<Record<string, ShownPatch>>;
  /** Sublayers that are width-pruned and stay, by id. */
  readonly widthPruned: Readonly<Record<string, WidthPrunedSublayer>>;
  /** Preview of config.json with the selection applied, and how to load the result. */
  readonly configPreview: { readonly lines: readonly ConfigChange[]; readonly loadsWith: string };
  /** Held-out perplexity of the current selection, when it has been evaluated. */
  readonly selectionEvaluation: ProfileEvaluation | undefined;
  /** Drift of the current selection from the original; undefined if not measured. */
  readonly drift: Drift | undefined;
  /** Values of units that operations have measured, by the ids of columns and of units. */
  readonly measurements: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Size that quantizing the whole model reaches with a small loss, if any. */
  readonly quantized: QuantizedSize | undefined;
  /** Types that the model can be written in. */
  readonly types: readonly OfferedType[];
  /** The best compression plans, if a sensitivity profile lies next to the model. */
  readonly plans: PlannedSizes | undefined;
  /** File that the profile was loaded from or saved to, if any. */
  readonly profileFile: string | undefined;
  /** Sentence that explains why jobs may not run (workspace trust); undefined if they may. */
  readonly blocked: string | undefined;
  /** Operations that the model does not support: the reason, and the fix. */
  readonly cannot: Unable;
}

/** The smallest quantization of a model with a small loss. */
export interface QuantizedSize {
  /** Name of the quantization type, such as `Q5_K_M`. */
  readonly type: string;
  readonly bytes: number;
  /** Bytes of the model's weight files. */
  readonly bytesBefore: number;
  /** Typical loss of other models. */
  readonly loss: Message;
  /** Perplexity over the original's, if this model was quantized so before. */
  readonly perplexityRatio: number | undefined;
}

/** A profile without its candidates, which arrive one by one. */
export type ShownProfile = Omit<ProfileState, 'candidates'>;

const marks = ['keep', 'removed', 'protected'] as const;

/** Mark that the user sets on a sublayer. */
export type Mark = (typeof marks)[number];

export interface HeatmapCalls {
  selectRounds(rounds: number): void;
  setMark(sublayer: string, mark: Mark): void;
  /** Removes all marks that were set by hand. */
  clearMarks(): void;
  undo(): void;
  redo(): void;
  /** Clears the width pruning. */
  keepWidths(): void;
  profile(): void;
  prune(): void;
  makeSmaller(): void;
  evaluate(): void;
  showDrift(): void;
  cancel(): void;
  resume(): void;
  savePlan(): void;
  openCompression(): void;
  openConfig(): void;
  showLog(): void;
}

export const heatmapCalls: CallSchemas<HeatmapCalls> = {
  selectRounds: tuple([pipe(number(), integer(), minValue(0))]),
  setMark: tuple([string(), picklist(marks)]),
  clearMarks: tuple([]),
  undo: tuple([]),
  redo: tuple([]),
  keepWidths: tuple([]),
  profile: tuple([]),
  prune: tuple([]),
  makeSmaller: tuple([]),
  evaluate: tuple([]),
  showDrift: tuple([]),
  cancel: tuple([]),
  resume: tuple([]),
  savePlan: tuple([]),
  openCompression: tuple([]),
  openConfig: tuple([]),
  showLog: tuple([]),
};
