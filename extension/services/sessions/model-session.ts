import { resolvePatches } from '../../core/pipelines/patching/planned-patches';
import type { WidthPrunedModel } from '../../core/models/width-pruning/describe-width-pruned';
import type { PlannedWidthPruning } from '../../core/models/width-pruning/planned-width-pruning';
import type { PlannedPatch, Plan } from '../../core/plans/plan';
import type { Drift } from '../../core/evaluate/drift';
import type { Unable } from '../../core/models/capabilities';
import type { ModelSummary } from '../../core/models/model-summary';
import type { Measurements } from '../../core/operations/presentation';
import { unitsMeant } from '../../core/models/units';
import type { LayerProfile, ProfileEvaluation, ProfileEvent } from '../../core/prune/layer-profile';
import type {
  HeatmapJob,
  HeatmapState,
  Mark,
  ProfileState,
  QuantizedSize,
  ShownProfile,
} from '../../protocol/heatmap';
import type { OfferedType, PlannedSizes } from '../../protocol/frontier';
import { noMarks } from '../../protocol/marks';
import { PanelSession } from './panel-session';
import type { Parts } from './panel-session';
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
        (this.#profile?.candidates ?? []).map((candidate) => [candidate.sublayer, candidate]),
      ),
    job: () => this.#job,
    selectedRounds: () => (this.widths.length === 0 ? this.#selection.rounds : undefined),
    slider: () => this.#selection.slider,
    byHand: () => this.#selection.byHand,
    removed: () => this.#selection.removed,
    protectedIds: () => this.#selection.protectedIds,
    patches: () => shownPatches(this.model, this.#patches),
    widthPruned: () => this.#widthPruned?.sublayers ?? {},
    configPreview: () => this.host.preview(this.choice, this.#widthPruned),
    selectionEvaluation: () => this.#findEvaluation(this.choice),
    drift: () => this.#drifts.get(choiceKey(this.choice)),
    measurements: () => this.#measurements,
    quantized: () => this.#quantized,
    types: () => this.#types,
    plans: () => this.#plans,
    profileFile: () => (this.#profile?.search === undefined ? undefined : this.profilePath),
    blocked: () => this.blocked?.reason,
    cannot: () => this.host.cannot,
  };

  #profile: ProfileState | undefined;
  #selection: Selection;
  #job: HeatmapJob = { kind: 'idle' };
  /** Warnings of the worker. */
  #warnings: readonly string[] = [];
  #evaluations: Readonly<Record<string, ProfileEvaluation>>;
  #patches: readonly PlannedPatch[];
  #widths: readonly PlannedWidthPruning[];
  /** Width-pruned model, without removed sublayers. */
  #widthPruned: WidthPrunedModel | undefined;
  /** Drifts by choice. */
  readonly #drifts = new Map<string, Drift>();
  #measurements: HeatmapState['measurements'] = {};
  #quantized: QuantizedSize | undefined;
  #types: readonly OfferedType[] = [];
  #plans: PlannedSizes | undefined;
  /** True if the user has chosen. Until then, the choice is the last round with a small loss. */
  #isChosen: boolean;
  /** Selections that Undo and Redo bring back, the latest last. */
  readonly #undo: Selection[] = [];
  readonly #redo: Selection[] = [];
  /** When the slider was moved last, in milliseconds: moves in quick succession are undone together. */
  #sliderMoved = Number.NEGATIVE_INFINITY;
  #fileWarning: string | undefined;

  public constructor(
    public readonly model: ModelSummary,
    /** Path of the profile, whether or not it exists yet. */
    public readonly profilePath: string,
    private readonly host: SessionHost,
    stored: StoredSession | undefined,
  ) {
    super();
    this.#selection = stored?.selection ?? emptySelection;
    this.#isChosen = stored?.isChosen ?? false;
    this.#evaluations = stored?.evaluations ?? {};
    this.#patches = stored?.patches ?? [];
    this.#widths = stored?.widths ?? [];
  }

  public get selection(): Selection {
    return this.#selection;
  }

  public get profile(): ProfileState | undefined {
    return this.#profile;
  }

  public get job(): HeatmapJob {
    return this.#job;
  }

  /** Sublayers to remove, patches that replace some of them, and widths to prune. */
  public get choice(): Choice {
    return { removed: this.#selection.removed, widths: this.widths, patches: this.patches };
  }

  /** Planned width pruning of sublayers that are not marked for removal. */
  public get widths(): readonly PlannedWidthPruning[] {
    return this.#widths.filter(({ sublayer }) => !this.#selection.removed.includes(sublayer));
  }

  /** Planned patches of sublayers that are marked for removal, their files by absolute path. */
  public get patches(): readonly PlannedPatch[] {
    return this.#patches.filter(({ sublayer }) => this.#selection.removed.includes(sublayer));
  }

  /** Reason why jobs may not run, if any. */
  public get blocked(): Refusal | undefined {
    return this.host.blocked();
  }

  /** Perplexity of the whole model, once measured. */
  public get originalEvaluation(): ProfileEvaluation | undefined {
    return this.#findEvaluation(wholeModel);
  }

  /** Perplexities by number of rounds: the document's, and those measured here for such a number. */
  public get evaluations(): readonly ProfileEvaluation[] {
    const { rounds = [], evaluations = [] } = this.#profile ?? {};
    const measured = Object.entries(this.#evaluations).flatMap(([key, evaluation]) => {
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
    this.#profile = profile === undefined ? undefined : createProfileState(profile);
    this.#selection = {
      ...this.#selection,
      rounds:
        this.#selection.rounds ??
        matchingRounds(this.#selection.removed, this.#profile?.rounds ?? [], this.model),
    };
    this.#tellProfile();
    this.tell('selectedRounds', 'selectionEvaluation');
    this.#selectSmallLoss();
  }

  /** A search starts, or is resumed. */
  public searchStarted(resumed: boolean): void {
    this.#isChosen &&= !resumed && this.#selection.removed.length > 0;
  }

  public applyEvent(event: ProfileEvent): void {
    const before = this.#profile;
    this.#profile = reduceProfile(before, event);
    if (this.#profile === before) {
      return;
    }
    if (event.kind === 'round') {
      this.#selectSmallLoss();
    }
    if (event.kind === 'candidate') {
      this.tellEntry('candidates', event.distance.sublayer);
    } else if (event.kind === 'started') {
      this.#tellProfile();
    } else {
      this.tell('profile');
    }
  }

  /** @param warnings what the worker has warned of in the latest job */
  public setJob(job: HeatmapJob, warnings: readonly string[]): void {
    this.#job = job;
    const isNew = warnings.join('\n') !== this.#warnings.join('\n');
    this.#warnings = warnings;
    this.tell('job', ...(isNew ? (['model'] as const) : []));
  }

  public chooseRounds(rounds: number): void {
    const now = Date.now();
    const isDragged = now - this.#sliderMoved < dragMilliseconds;
    this.#sliderMoved = now;
    this.#choose(
      selectRounds(this.#selection, rounds, this.#profile?.rounds ?? [], this.model),
      isDragged,
    );
  }

  public chooseMark(sublayer: string, mark: Mark): void {
    this.#sliderMoved = Number.NEGATIVE_INFINITY;
    if (unitsMeant(sublayer, this.model).includes(sublayer)) {
      this.#choose(
        markSublayer(this.#selection, sublayer, mark, this.#profile?.rounds ?? [], this.model),
      );
    }
  }

  /** Removes all marks that were set by hand. */
  public clearMarks(): void {
    const cleared = { ...this.#selection, byHand: noMarks, protectedIds: [] };
    this.#choose(selectRounds(cleared, cleared.slider, this.#profile?.rounds ?? [], this.model));
  }

  /** Takes back the latest choice; does nothing if there is none. */
  public undo(): void {
    this.#exchange(this.#undo, this.#redo);
  }

  /** Makes the choice again that was taken back last. */
  public redo(): void {
    this.#exchange(this.#redo, this.#undo);
  }

  /**
   * @param path the plan's, which its files are relative to
   * @throws UserError where the model cannot be width-pruned so; the choice is then as before.
   */
  public async choosePlan(plan: Plan, path: string): Promise<void> {
    const { widths = [] } = plan;
    const widthPruned = widths.length === 0 ? undefined : await this.host.widthPruned(plan);
    this.#widths = widths;
    this.#widthPruned = widthPruned;
    this.#patches = resolvePatches(plan, path);
    const patched = this.#patches.map(({ sublayer }) => sublayer);
    const remove = [...new Set([...plan.remove, ...patched])];
    this.#choose(selectPlan({ ...plan, remove }, this.#profile?.rounds ?? [], this.model));
    this.tell('patches', 'widthPruned', 'configPreview');
  }

  /** Clears the width pruning. */
  public keepWidths(): void {
    const before = this.widths;
    this.#widths = [];
    this.#chosen(before);
  }

  /** Computes the model that remains after the saved width pruning. */
  public async restoreWidthPruning(): Promise<void> {
    const { widths, removed } = this.choice;
    const widthPruned =
      widths.length === 0 ? undefined : await this.host.widthPruned({ widths, remove: removed });
    if (widthsText(widths) === widthsText(this.widths)) {
      this.#widthPruned = widthPruned;
      this.tell('widthPruned', 'configPreview');
    }
  }

  /** Plans a patch, which replaces an earlier one for the same sublayer. */
  public addPatch(patch: PlannedPatch): void {
    const others = this.#patches.filter(({ sublayer }) => sublayer !== patch.sublayer);
    this.#patches = [...others, patch];
    // Its weights may have been fitted again in the same file.
    this.#evaluations = Object.fromEntries(
      Object.entries(this.#evaluations).filter(([key]) => !includesPatch(key, patch)),
    );
    for (const key of this.#drifts.keys()) {
      if (includesPatch(key, patch)) {
        this.#drifts.delete(key);
      }
    }
    this.chooseMark(patch.sublayer, 'removed');
    this.tell('patches', 'configPreview');
  }

  public addEvaluation(choice: Choice, evaluation: ProfileEvaluation): void {
    this.#evaluations = { ...this.#evaluations, [choiceKey(choice)]: evaluation };
    this.#save();
    this.tell('selectionEvaluation', 'profile');
  }

  public addDrift(choice: Choice, drift: Drift): void {
    this.#drifts.set(choiceKey(choice), drift);
    this.tell('drift');
  }

  /** Takes the values of a column of the heatmap. */
  public addMeasurements({ column, values }: Measurements): void {
    this.#measurements = { ...this.#measurements, [column]: values };
    this.tell('measurements');
  }

  /** Size that quantization reaches with a small loss; undefined if it reaches none. */
  public setQuantized(quantized: QuantizedSize | undefined): void {
    this.#quantized = quantized;
    this.tell('quantized');
  }

  /** Types that the model can be written in. */
  public setTypes(types: readonly OfferedType[]): void {
    this.#types = types;
    this.tell('types');
  }

  /** The best compression plans; undefined if no sensitivity profile was measured. */
  public setPlans(plans: PlannedSizes | undefined): void {
    this.#plans = plans;
    this.tell('plans');
  }

  /** Something the user should know of the profile: shown among the model's warnings. */
  public setWarning(warning: string | undefined): void {
    this.#fileWarning = warning;
    this.tell('model');
  }

  /** The workspace became trusted. */
  public refreshBlocked(): void {
    this.tell('blocked');
  }

  /** @param isSame true if it continues the latest choice, with which it is undone */
  #choose(selection: Selection, isSame = false): void {
    if (!isSame || this.#undo.length === 0) {
      this.#undo.push(this.#selection);
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
      to.push(this.#selection);
      this.#select(selection);
    }
  }

  /** Selects the last round with a small loss, unless the user has chosen. */
  #selectSmallLoss(): void {
    if (!this.#isChosen && this.#profile !== undefined) {
      const rounds = smallLossRounds({ ...this.#profile, evaluations: this.evaluations });
      this.#select(selectRounds(this.#selection, rounds, this.#profile.rounds, this.model));
    }
  }

  #select(selection: Selection): void {
    const before = this.#selection.removed.join();
    const widthsBefore = this.widths;
    this.#selection = selection;
    this.tell('removed', 'protectedIds', 'slider', 'byHand');
    if (selection.removed.join() !== before) {
      this.tell('configPreview');
    }
    this.#chosen(widthsBefore);
  }

  /** @param before what was width-pruned; config.json depends on all of it */
  #chosen(before: readonly PlannedWidthPruning[]): void {
    this.#save();
    this.tell('selectedRounds', 'selectionEvaluation', 'drift');
    if (widthsText(this.widths) !== widthsText(before)) {
      this.restoreWidthPruning().catch(this.host.showError);
    }
  }

  #modelWithWarnings(): ModelSummary {
    const own = this.#fileWarning === undefined ? [] : [this.#fileWarning];
    const messages = [...own, ...this.#warnings].map(verbatim);
    return { ...this.model, warnings: [...this.model.warnings, ...messages] };
  }

  #findEvaluation(choice: Choice): ProfileEvaluation | undefined {
    const measured = this.#evaluations[choiceKey(choice)];
    const { removed, widths, patches } = choice;
    if (measured !== undefined || widths.length + patches.length > 0) {
      return measured;
    }
    const rounds = matchingRounds(removed, this.#profile?.rounds ?? [], this.model);
    return this.evaluations.find((evaluation) => evaluation.rounds === rounds);
  }

  #shownProfile(): ShownProfile | undefined {
    if (this.#profile === undefined) {
      return undefined;
    }
    // Candidates are sent separately; messages drop undefined values.
    const shown = { ...this.#profile, candidates: undefined, evaluations: this.evaluations };
    return shown;
  }

  #tellProfile(): void {
    this.tell('profile', 'candidates', 'profileFile');
  }

  #save(): void {
    this.host.save({
      fingerprint: this.model.fingerprint,
      selection: this.#selection,
      isChosen: this.#isChosen,
      evaluations: this.#evaluations,
      ...(this.#patches.length === 0 ? {} : { patches: this.#patches }),
      ...(this.#widths.length === 0 ? {} : { widths: this.#widths }),
    });
  }
}

const widthsText = (widths: readonly PlannedWidthPruning[]): string => JSON.stringify(widths);
