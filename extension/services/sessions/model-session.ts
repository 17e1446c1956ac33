import { batch } from '@preact/signals-core';
import { resolvePatches } from '../../core/pipelines/patching/planned-patches';
import type { WidthPrunedModel } from '../../core/models/width-pruning/describe-width-pruned';
import type { PlannedWidthPruning } from '../../core/models/width-pruning/width';
import type { PlannedPatch, Plan } from '../../core/plans/plan';
import type { Drift } from '../../core/evaluate/drift';
import type { Unable } from '../../core/models/capabilities';
import type { ModelSummary } from '../../core/models/model-summary';
import type { Measurements } from '../../core/operations/presentation';
import { unitsMeant } from '../../core/models/units';
import type { LayerProfile, ProfileEvaluation, ProfileEvent } from '../../core/prune/layer-profile';
import type {
  HeatmapState,
  Mark,
  ProfileState,
  QuantizedSize,
  ShownProfile,
} from '../../protocol/heatmap';
import type { PanelJob } from '../../protocol/jobs';
import type { OfferedType, PlannedSizes } from '../../protocol/frontier';
import { noMarks } from '../../protocol/marks';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
import { distinct, reactive } from './reactive';
import { shownPatches } from './patches';
import { createProfileState, reduceProfile } from './profile-state';
import {
  choiceKey,
  emptySelection,
  includesPatch,
  markSublayer,
  matchingRounds,
  smallLossRounds,
  selectPlan,
  selectRounds,
  wholeModel,
} from './selection';
import type { Choice, Selection } from './selection';
import type { StoredSession } from './session-store';
import type { Refusal } from '../trust';
import { verbatim } from '../../core/message';

/** Dependencies of a session. */
export interface SessionHost {
  /** Operations that the model does not support, and the reasons. */
  readonly cannot: Unable;
  /** Preview of config.json for a choice, and how to load the result. */
  readonly preview: (
    choice: Choice,
    widthPruned: WidthPrunedModel | undefined,
  ) => HeatmapState['configPreview'];
  /** Model after width pruning; fails if it is not possible. */
  readonly widthPruned: (
    changes: Pick<Plan, 'widths' | 'remove' | 'patch'>,
  ) => Promise<WidthPrunedModel>;
  readonly showError: (error: unknown) => void;
  /** Reason why jobs may not run, if any. */
  readonly blocked: () => Refusal | undefined;
  readonly save: (session: StoredSession) => void;
}

/** The slider is being dragged if it moves again within this time. */
const dragMilliseconds = 1000;
/** Number of choices that can be undone. */
const mostUndone = 200;

/** One model with its profile, the user's choice and the job that runs for it. */
export class ModelSession extends PanelSession<HeatmapState> {
  protected readonly parts: Parts<HeatmapState> = {
    model: () => this.#modelWithWarnings(),
    profile: () => this.#shownProfile(),
    candidates: () =>
      Object.fromEntries(
        (this.#state.profile?.candidates ?? []).map((candidate) => [candidate.sublayer, candidate]),
      ),
    job: () => this.#state.job,
    selectedRounds: () => (this.widths.length === 0 ? this.#state.selection.rounds : undefined),
    slider: () => this.#state.selection.slider,
    byHand: () => this.#state.selection.byHand,
    removed: () => this.#state.selection.removed,
    protectedIds: () => this.#state.selection.protectedIds,
    patches: () => shownPatches(this.model, this.#state.patches),
    widthPruned: () => this.#state.widthPruned?.sublayers ?? noWidths,
    configPreview: () => this.host.preview(this.#choice.value, this.#state.widthPruned),
    selectionEvaluation: () => this.#findEvaluation(this.choice),
    drift: () => this.#state.drifts[choiceKey(this.choice)],
    measurements: () => this.#state.measurements,
    quantized: () => this.#state.quantized,
    types: () => this.#state.types,
    plans: () => this.#state.plans,
    profileFile: () => (this.#searched.value?.search === undefined ? undefined : this.profilePath),
    blocked: () => this.byTrust(() => this.blocked?.reason),
    cannot: () => this.host.cannot,
  };

  protected override readonly records = ['candidates'] as const;
  readonly #state = reactive<{
    profile: ProfileState | undefined;
    selection: Selection;
    job: PanelJob;
    /** Warnings of the worker. */
    warnings: readonly string[];
    evaluations: Readonly<Record<string, ProfileEvaluation>>;
    patches: readonly PlannedPatch[];
    widths: readonly PlannedWidthPruning[];
    /** Width-pruned model, without removed sublayers. */
    widthPruned: WidthPrunedModel | undefined;
    /** Drifts by choice. */
    drifts: Readonly<Record<string, Drift>>;
    measurements: HeatmapState['measurements'];
    quantized: QuantizedSize | undefined;
    types: readonly OfferedType[];
    plans: PlannedSizes | undefined;
    fileWarning: string | undefined;
  }>({
    profile: undefined,
    selection: emptySelection,
    job: { kind: 'idle' },
    warnings: [],
    evaluations: {},
    patches: [],
    widths: [],
    widthPruned: undefined,
    drifts: {},
    measurements: {},
    quantized: undefined,
    types: [],
    plans: undefined,
    fileWarning: undefined,
  });
  /** Current selection; the same object until it changes. */
  readonly #choice = distinct(
    () => this.choice,
    (a, b) => JSON.stringify(a) === JSON.stringify(b),
  );
  /** The profile without its candidates, which change more often. */
  readonly #searched = distinct((): ProfileState | undefined => {
    const { profile } = this.#state;
    return profile && { ...profile, candidates: [] };
  }, hasSameFields);
  /** True if the user has chosen. Until then, the choice is the last round with a small loss. */
  #isChosen: boolean;
  /** Selections that Undo and Redo bring back, the latest last. */
  readonly #undo: Selection[] = [];
  readonly #redo: Selection[] = [];
  /** When the slider was moved last, in milliseconds: moves in quick succession are undone together. */
  #sliderMoved = Number.NEGATIVE_INFINITY;

  public constructor(
    public readonly model: ModelSummary,
    /** Path of the profile, whether or not it exists yet. */
    public readonly profilePath: string,
    private readonly host: SessionHost,
    stored: StoredSession | undefined,
  ) {
    super();
    this.#state.selection = stored?.selection ?? emptySelection;
    this.#isChosen = stored?.isChosen ?? false;
    this.#state.evaluations = stored?.evaluations ?? {};
    this.#state.patches = stored?.patches ?? [];
    this.#state.widths = stored?.widths ?? [];
  }

  public get selection(): Selection {
    return this.#state.selection;
  }

  public get profile(): ProfileState | undefined {
    return this.#state.profile;
  }

  public get job(): PanelJob {
    return this.#state.job;
  }

  /** Sublayers to remove, patches that replace some of them, and widths to prune. */
  public get choice(): Choice {
    return { removed: this.#state.selection.removed, widths: this.widths, patches: this.patches };
  }

  /** Planned width pruning of sublayers that are not marked for removal. */
  public get widths(): readonly PlannedWidthPruning[] {
    return this.#state.widths.filter(
      ({ sublayer }) => !this.#state.selection.removed.includes(sublayer),
    );
  }

  /** Planned patches of sublayers that are marked for removal, their files by absolute path. */
  public get patches(): readonly PlannedPatch[] {
    return this.#state.patches.filter(({ sublayer }) =>
      this.#state.selection.removed.includes(sublayer),
    );
  }

  /** Reason why jobs may not run, if any. */
  public get blocked(): Refusal | undefined {
    return this.host.blocked();
  }

  /** Perplexity of the whole model, once measured. */
  public get originalEvaluation(): ProfileEvaluation | undefined {
    return this.#findEvaluation(wholeModel);
  }

  /** Perplexity by number of rounds, from the document and from this session. */
  public get evaluations(): readonly ProfileEvaluation[] {
    const { rounds = [], evaluations = [] } = this.#searched.value ?? {};
    const measured = Object.entries(this.#state.evaluations).flatMap(([key, evaluation]) => {
      const removed = key === '' ? [] : key.split(' ');
      const count = matchingRounds(removed, rounds, this.model);
      return count === undefined ? [] : [{ ...evaluation, rounds: count }];
    });
    const known = new Map(
      [...evaluations, ...measured].map((one) => [`${one.rounds} ${one.partial ?? ''}`, one]),
    );
    const partialLast = (one: ProfileEvaluation): number => (one.partial === true ? 1 : 0);
    return [...known.values()].sort(
      (a, b) => a.rounds - b.rounds || partialLast(a) - partialLast(b),
    );
  }

  public loadProfile(profile: LayerProfile | undefined): void {
    const { selection } = this.#state;
    const state = profile === undefined ? undefined : createProfileState(profile);
    const rounds =
      selection.rounds ?? matchingRounds(selection.removed, state?.rounds ?? [], this.model);
    batch(() => {
      this.#state.profile = state;
      this.#state.selection = { ...selection, rounds };
      this.#selectSmallLoss();
    });
  }

  /** Called when a search starts or resumes. */
  public searchStarted(resumed: boolean): void {
    this.#isChosen &&= !resumed && this.#state.selection.removed.length > 0;
  }

  public applyEvent(event: ProfileEvent): void {
    batch(() => {
      this.#state.profile = reduceProfile(this.#state.profile, event);
      if (event.kind === 'round') {
        this.#selectSmallLoss();
      }
    });
  }

  /** @param warnings what the worker has warned of in the latest job */
  public setJob(job: PanelJob, warnings: readonly string[]): void {
    const isNew = warnings.join('\n') !== this.#state.warnings.join('\n');
    batch(() => Object.assign(this.#state, { job, ...(isNew ? { warnings } : {}) }));
  }

  public chooseRounds(rounds: number): void {
    const now = Date.now();
    const isDragged = now - this.#sliderMoved < dragMilliseconds;
    this.#sliderMoved = now;
    this.#choose(
      selectRounds(this.#state.selection, rounds, this.#state.profile?.rounds ?? [], this.model),
      isDragged,
    );
  }

  public chooseMark(sublayer: string, mark: Mark): void {
    this.#sliderMoved = Number.NEGATIVE_INFINITY;
    if (unitsMeant(sublayer, this.model).includes(sublayer)) {
      this.#choose(
        markSublayer(
          this.#state.selection,
          sublayer,
          mark,
          this.#state.profile?.rounds ?? [],
          this.model,
        ),
      );
    }
  }

  /** Removes all marks that were set by hand. */
  public clearMarks(): void {
    const cleared = { ...this.#state.selection, byHand: noMarks, protectedIds: [] };
    this.#choose(
      selectRounds(cleared, cleared.slider, this.#state.profile?.rounds ?? [], this.model),
    );
  }

  /** Undoes the latest change of the selection, if there is one. */
  public undo(): void {
    this.#exchange(this.#undo, this.#redo);
  }

  /** Redoes the change that was undone last. */
  public redo(): void {
    this.#exchange(this.#redo, this.#undo);
  }

  /**
   * @param path the plan's, which its files are relative to
   * @throws UserError if the model cannot be width-pruned so; the choice is then as before.
   */
  public async choosePlan(plan: Plan, path: string): Promise<void> {
    const { widths = [] } = plan;
    const widthPruned = widths.length === 0 ? undefined : await this.host.widthPruned(plan);
    const patches = resolvePatches(plan, path);
    const remove = [...new Set([...plan.remove, ...patches.map(({ sublayer }) => sublayer)])];
    batch(() => {
      Object.assign(this.#state, { widths, widthPruned, patches });
      this.#choose(selectPlan({ ...plan, remove }, this.#state.profile?.rounds ?? [], this.model));
    });
  }

  /** Clears the width pruning. */
  public keepWidths(): void {
    const before = this.widths;
    this.#state.widths = [];
    this.#chosen(before);
  }

  /** Computes the model that remains after the saved width pruning. */
  public async restoreWidthPruning(): Promise<void> {
    const { widths, removed } = this.choice;
    const widthPruned =
      widths.length === 0 ? undefined : await this.host.widthPruned({ widths, remove: removed });
    if (widthsText(widths) === widthsText(this.widths)) {
      this.#state.widthPruned = widthPruned;
    }
  }

  /** Plans a patch, which replaces an earlier one for the same sublayer. */
  public addPatch(patch: PlannedPatch): void {
    const others = this.#state.patches.filter(({ sublayer }) => sublayer !== patch.sublayer);
    // Its weights may have been fitted again in the same file.
    const withoutPatch = <T>(measured: Readonly<Record<string, T>>): Record<string, T> =>
      Object.fromEntries(Object.entries(measured).filter(([key]) => !includesPatch(key, patch)));
    batch(() => {
      this.#state.patches = [...others, patch];
      this.#state.evaluations = withoutPatch(this.#state.evaluations);
      this.#state.drifts = withoutPatch(this.#state.drifts);
      this.chooseMark(patch.sublayer, 'removed');
    });
  }

  public addEvaluation(choice: Choice, evaluation: ProfileEvaluation): void {
    this.#state.evaluations = { ...this.#state.evaluations, [choiceKey(choice)]: evaluation };
    this.#save();
  }

  public addDrift(choice: Choice, drift: Drift): void {
    this.#state.drifts = { ...this.#state.drifts, [choiceKey(choice)]: drift };
  }

  /** Adds columns of the heatmap. Columns of single texts (`tokens:TEXT`) replace those of an earlier run. */
  public addMeasurements(measurements: Measurements): void {
    const family = (column: string): string => column.split(':', 1)[0] ?? column;
    const families = new Set(Object.keys(measurements).map(family));
    const others = Object.entries(this.#state.measurements).filter(
      ([column]) => !families.has(family(column)),
    );
    this.#state.measurements = { ...Object.fromEntries(others), ...measurements };
  }

  /** Size that quantization reaches with a small loss; undefined if it reaches none. */
  public setQuantized(quantized: QuantizedSize | undefined): void {
    this.#state.quantized = quantized;
  }

  /** Types that the model can be written in. */
  public setTypes(types: readonly OfferedType[]): void {
    this.#state.types = types;
  }

  /** The best compression plans; undefined if no sensitivity profile was measured. */
  public setPlans(plans: PlannedSizes | undefined): void {
    this.#state.plans = plans;
  }

  /** Something the user should know of the profile: shown among the model's warnings. */
  public setWarning(warning: string | undefined): void {
    this.#state.fileWarning = warning;
  }

  /** @param isSame true if it continues the latest choice, with which it is undone */
  #choose(selection: Selection, isSame = false): void {
    if (!isSame || this.#undo.length === 0) {
      this.#undo.push(this.#state.selection);
      this.#undo.splice(0, this.#undo.length - mostUndone);
    }
    this.#redo.length = 0;
    this.#isChosen = true;
    this.#select(selection);
  }

  #exchange(from: Selection[], to: Selection[]): void {
    const selection = from.pop();
    if (selection !== undefined) {
      this.#sliderMoved = Number.NEGATIVE_INFINITY;
      to.push(this.#state.selection);
      this.#select(selection);
    }
  }

  /** Selects the last round with a small loss, unless the user has chosen. */
  #selectSmallLoss(): void {
    if (!this.#isChosen && this.#state.profile !== undefined) {
      const rounds = smallLossRounds({ ...this.#state.profile, evaluations: this.evaluations });
      this.#select(
        selectRounds(this.#state.selection, rounds, this.#state.profile.rounds, this.model),
      );
    }
  }

  #select(selection: Selection): void {
    const widthsBefore = this.widths;
    this.#state.selection = selection;
    this.#chosen(widthsBefore);
  }

  /** @param before what was width-pruned; config.json depends on all of it */
  #chosen(before: readonly PlannedWidthPruning[]): void {
    this.#save();
    if (widthsText(this.widths) !== widthsText(before)) {
      this.restoreWidthPruning().catch(this.host.showError);
    }
  }

  #modelWithWarnings(): ModelSummary {
    const own = this.#state.fileWarning === undefined ? [] : [this.#state.fileWarning];
    const messages = [...own, ...this.#state.warnings].map(verbatim);
    return { ...this.model, warnings: [...this.model.warnings, ...messages] };
  }

  #findEvaluation(choice: Choice): ProfileEvaluation | undefined {
    const measured = this.#state.evaluations[choiceKey(choice)];
    const { removed, widths, patches } = choice;
    if (measured !== undefined || widths.length + patches.length > 0) {
      return measured;
    }
    const rounds = matchingRounds(removed, this.#searched.value?.rounds ?? [], this.model);
    return this.evaluations.find((evaluation) => evaluation.rounds === rounds);
  }

  #shownProfile(): ShownProfile | undefined {
    if (this.#searched.value === undefined) {
      return undefined;
    }
    // Candidates are sent separately; messages drop undefined values.
    const shown = { ...this.#searched.value, candidates: undefined, evaluations: this.evaluations };
    return shown;
  }

  #save(): void {
    this.host.save({
      fingerprint: this.model.fingerprint,
      selection: this.#state.selection,
      isChosen: this.#isChosen,
      evaluations: this.#state.evaluations,
      ...(this.#state.patches.length === 0 ? {} : { patches: this.#state.patches }),
      ...(this.#state.widths.length === 0 ? {} : { widths: this.#state.widths }),
    });
  }
}

const noWidths = {};

/** True if two profiles have the same fields apart from their candidates, which both arguments omit. */
function hasSameFields(a: ProfileState | undefined, b: ProfileState | undefined): boolean {
  if (a === undefined || b === undefined) {
    return a === b;
  }
  const fields = new Set([...Object.keys(a), ...Object.keys(b)] as (keyof ProfileState)[]);
  fields.delete('candidates');
  return [...fields].every((field) => a[field] === b[field]);
}

const widthsText = (widths: readonly PlannedWidthPruning[]): string => JSON.stringify(widths);
