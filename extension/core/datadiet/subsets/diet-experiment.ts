import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import * as v from 'valibot';
import { withPersistentWorkers } from '../../distribute/persistent-engine';
import type { TaskJob } from '../../jobs/child-task';
import { Journal } from '../../jobs/journal';
import type { JobContext } from '../../jobs/job';
import {
  fitModel,
  fitResultSchema,
  fitWork,
  openMaterial,
  fitWorkItem,
  fitRunRequest,
} from './diet-material';
import type { Fit, FitResult, Material } from './diet-material';
import { comparisonSteps, PartsProgress } from './diet-work';
import type { Comparison, OffsetSweep } from './diet-work';
import { auroc, splitsFingerprint, holdOut, selectExamples } from './selection';
import { allExamples } from '../scores/predictions';
import { digestNumbers, RunFolder } from '../training/run-folder';
import { scoreOpenDataset } from '../scores/score-dataset';
import type { ScoreDocument, ScoreKind } from '../scores/score-document';
import { scoreValues } from '../scores/score-document';
import type { Policy, SelectionRequest } from './selection';
import { seedSetup } from '../training/seed-setup';
import { engineFor, shareSeeds } from '../training/side-by-side';
import type { SeedSharing } from '../training/side-by-side';
import { mean, sampleDeviation } from '../../statistics';
import type { FitRequest } from '../training/training-settings';
import { stepsPerEpoch } from '../training/training-run';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Kind of score, and the epoch after which it is computed. */
export interface ScoreChoice {
  readonly kind: ScoreKind;
  readonly epoch: number;
}

export interface DietRequest extends FitRequest, Comparison {
  readonly scores: readonly ScoreChoice[];
  readonly balanced: boolean;
  /** Folder for finished work while the job is running. */
  readonly folder: string;
}

/** Accuracy of models trained on one selection of examples. */
export interface DietRow {
  /** `full`, `random`, or a score such as `el2n@3`. */
  readonly choice: string;
  readonly policy?: Policy;
  readonly offset?: number;
  readonly keep: number;
  readonly examples: number;
  readonly steps: number;
  /** Test accuracy of each seed, 0 to 1. */
  readonly accuracies: readonly number[];
  readonly mean: number;
  /** Sample standard deviation; absent for one seed. */
  readonly deviation?: number;
  /** Share of selected examples with flipped labels, if known. */
  readonly wrongLabels?: number;
  /** Total seconds of all trainings. */
  readonly seconds: number;
}

export interface DietResult {
  readonly format: 'espalier.datadiet';
  readonly version: 1;
  readonly dataset: {
    readonly name: string;
    /** Fingerprint of the training data including the held-out part, as in its scores. */
    readonly fingerprint: string;
    readonly examples: number;
    readonly testExamples: number;
  };
  readonly request: DietRequest;
  readonly scorings: readonly {
    readonly choice: string;
    readonly interRunSpearman: number | null;
    readonly seconds: number;
    readonly notes: readonly string[];
    /** AUROC of the score as a detector of flipped labels. */
    readonly noiseAuroc?: number;
  }[];
  readonly sweeps: readonly OffsetSweep[];
  readonly rows: readonly DietRow[];
}

/** Share of examples used to select a window. */
const validationShare = 0.1;
/** First seed, far from the seeds that scoring uses. */
const firstSeed = 1000;

const entrySchema = v.object({ key: v.string(), accuracy: v.number(), seconds: v.number() });
type Entry = v.InferOutput<typeof entrySchema>;

/** Training, with its key in the journal. */
interface KeyedFit extends Fit {
  readonly key: string;
}

const scoreName = ({ kind, epoch }: ScoreChoice): string => `${kind}@${epoch}`;

/**
 * Measures the effect of selecting examples by score on models trained on them, compared with the full dataset and with
 * random selections of the same size. Resumes an interrupted experiment.
 * @param write writes the result before intermediate files are removed, so that a full disk loses nothing
 */
export async function runDiet(
  request: DietRequest,
  job: JobContext<unknown>,
  sharing?: SeedSharing,
  write: (result: DietResult) => Promise<void> = async () => Promise.resolve(),
): Promise<DietResult> {
  const started = performance.now();
  const material = await openMaterial(request, (message) => {
    job.warn(message);
  });
  const openSeconds = (performance.now() - started) / 1000;
  const { train, testSet, noisy } = material;
  const identity = {
    data: train.fingerprint,
    test: testSet.fingerprint,
    labels: digestNumbers(noisy.labels),
    model: request.proxy,
    epochs: request.epochs,
    training: request.training,
  };
  const runFolder = await RunFolder.open(request.folder, identity, 'replace');
  const journal = await Journal.open<Entry>(
    runFolder.file('journal.jsonl'),
    JSON.stringify(identity),
    (value) => v.parse(entrySchema, value),
  );
  // Each row trains few models, so workers are shared by all rows.
  return withPersistentWorkers(sharing?.engine, async (engine) => {
    const means = { sharing: sharing && { ...sharing, engine }, openSeconds };
    const result = await new DietBench(request, material, means, runFolder, journal, job).run();
    await write(result);
    await runFolder.remove();
    return result;
  });
}

class DietBench {
  private readonly done: Map<string, Entry>;
  private readonly parts: PartsProgress;

  public constructor(
    private readonly request: DietRequest,
    private readonly material: Material,
    private readonly means: {
      readonly sharing: SeedSharing | undefined;
      readonly openSeconds: number;
    },
    private readonly folder: RunFolder,
    private readonly journal: Journal<Entry>,
    private readonly job: JobContext<unknown>,
  ) {
    this.done = new Map(journal.replayed.map((entry) => [entry.key, entry]));
    const { size } = material.train;
    const total = comparisonSteps(request, (share) =>
      stepsPerEpoch(Math.ceil(share * size), request.training),
    );
    this.parts = new PartsProgress(job, total);
  }

  public async run(): Promise<DietResult> {
    const { request } = this;
    const { train, testSet, fingerprint, noisy } = this.material;
    const { scores, keep: shares, policies, balanced } = request;
    const scored: { name: string; document: ScoreDocument }[] = [];
    for (const choice of scores) {
      scored.push({ name: scoreName(choice), document: await this.score(choice) });
    }
    const sweeps: OffsetSweep[] = [];
    const rows = [await this.measure('full', undefined, 1)];
    for (const keep of shares) {
      rows.push(await this.measure('random', { keep, policy: 'random', balanced, seed: 0 }, keep));
      for (const { name, document } of scored) {
        for (const policy of policies) {
          const selection: SelectionRequest = { keep, policy, balanced, seed: 0 };
          const sweep =
            policy === 'window' ? await this.sweep(name, document, selection) : undefined;
          sweeps.push(...(sweep === undefined ? [] : [sweep]));
          const offset = sweep === undefined ? {} : { offset: sweep.chosen };
          rows.push(await this.measure(name, { ...selection, ...offset }, keep, document));
        }
      }
    }
    return {
      format: 'espalier.datadiet',
      version: 1,
      dataset: {
        name: train.name,
        fingerprint,
        examples: train.size,
        testExamples: testSet.size,
      },
      request,
      scorings: scored.map(({ name, document }) => {
        const noiseAuroc = auroc(scoreValues(document), noisy.flipped);
        return {
          choice: name,
          interRunSpearman: document.scoring?.interRunSpearman ?? null,
          seconds: document.scoring?.seconds ?? 0,
          notes: document.notes,
          ...(noiseAuroc === undefined ? {} : { noiseAuroc }),
        };
      }),
      sweeps: sweeps.filter(({ validated }) => validated.length > 0),
      rows,
    };
  }

  private async score({ kind, epoch }: ScoreChoice): Promise<ScoreDocument> {
    const { data, options, test, proxy, runs, training, noise } = this.request;
    const { train } = this.material;
    const document = await scoreOpenDataset(
      {
        ...{ data, options, proxy, score: kind, runs, epoch, training },
        ...(test === undefined ? {} : { test }),
        ...(noise === undefined ? {} : { noise }),
        folder: this.folder.file(scoreName({ kind, epoch })),
        keepRuns: true,
      },
      train,
      this.parts.job,
      { ...this.means, part: 'train' },
    );
    this.parts.finish(runs * epoch * stepsPerEpoch(train.size, training));
    return document;
  }

  /** Trains on a selection with every seed; on all examples if it is undefined. */
  private async measure(
    choice: string,
    selection: SelectionRequest | undefined,
    keep: number,
    document?: ScoreDocument,
  ): Promise<DietRow> {
    const { request } = this;
    const { train, noisy } = this.material;
    const fits = this.seeds.map((seed) => {
      const examples =
        selection === undefined ? allExamples(train.size) : this.select(selection, document, seed);
      return this.keyedFit(examples, seed);
    });
    const size = fits[0]?.examples.length ?? 0;
    const steps = this.stepsFor(size);
    const wrong = fits.map(
      ({ examples }) =>
        examples.reduce((sum, example) => sum + (noisy.flipped[example] ?? 0), 0) / examples.length,
    );
    const results = await this.fitAll(fits, say`${choice}, ${counted(size, 'example')}`);
    const accuracies = results.map(({ accuracy }) => accuracy);
    const deviation = sampleDeviation(accuracies);
    return {
      choice,
      ...(selection === undefined ? {} : { policy: selection.policy }),
      ...(selection?.offset === undefined ? {} : { offset: selection.offset }),
      keep,
      examples: size,
      steps,
      accuracies,
      mean: mean(accuracies),
      ...(deviation === undefined ? {} : { deviation }),
      ...(request.noise === undefined ? {} : { wrongLabels: mean(wrong) }),
      seconds: results.reduce((sum, { seconds }) => sum + seconds, 0),
    };
  }

  /** Random selections differ between seeds, as they would between users. */
  private select(
    selection: SelectionRequest,
    document: ScoreDocument | undefined,
    seed: number,
    among?: Int32Array,
  ): Int32Array {
    const { train, noisy } = this.material;
    const scores = document === undefined ? new Float64Array(train.size) : scoreValues(document);
    return selectExamples(scores, noisy.labels, { ...selection, seed }, among);
  }

  /**
   * Selects a window by training on a part of the examples and validating on the rest, with the user's labels. A single
   * window needs no training.
   */
  private async sweep(
    choice: string,
    document: ScoreDocument,
    selection: SelectionRequest,
  ): Promise<OffsetSweep> {
    const { request } = this;
    const { train, noisy } = this.material;
    const { keep } = selection;
    const offsets = request.offsets.filter((offset) => offset + keep <= 1);
    const [first = 0, ...more] = offsets;
    if (more.length === 0) {
      return { choice, keep, validated: [], chosen: first, seconds: 0 };
    }
    const { labels } = noisy;
    const { kept, heldOut } = holdOut(labels, allExamples(train.size), validationShare, 1);
    const validated: { offset: number; accuracies: number[] }[] = [];
    let seconds = 0;
    for (const offset of offsets) {
      const fits = this.seeds.map((seed) =>
        this.keyedFit(this.select({ ...selection, offset }, document, seed, kept), seed, heldOut),
      );
      const results = await this.fitAll(fits, say`${choice}, window after ${offset}`);
      validated.push({ offset, accuracies: results.map(({ accuracy }) => accuracy) });
      seconds += results.reduce((sum, result) => sum + result.seconds, 0);
    }
    const [best] = [...validated].sort((a, b) => mean(b.accuracies) - mean(a.accuracies));
    return { choice, keep, validated, chosen: best?.offset ?? 0, seconds };
  }

  private stepsFor(examples: number): number {
    const { iso, epochs, training } = this.request;
    const { train } = this.material;
    return epochs * stepsPerEpoch(iso === 'steps' ? train.size : examples, training);
  }

  private get seeds(): number[] {
    return Array.from({ length: this.request.seeds }, (_, i) => firstSeed + i);
  }

  private keyedFit(examples: Int32Array, seed: number, validation?: Int32Array): KeyedFit {
    const steps = this.stepsFor(examples.length);
    const on = validation === undefined ? 'test' : 'validation';
    const key = createHash('sha256')
      .update(`${on} ${seed} ${steps} ${digestNumbers(examples)}`)
      .digest('hex');
    const checkpoint = this.folder.file(`${key.slice(0, 16)}.safetensors`);
    const fit = { key, examples, seed, steps, checkpoint };
    return validation === undefined ? fit : { ...fit, validation };
  }

  /** Runs trainings, in parallel if that saves time, and saves their results. */
  private async fitAll(fits: readonly KeyedFit[], what: Message): Promise<Entry[]> {
    const stage = say`Training on ${what}`;
    const { sharing, openSeconds } = this.means;
    const { request, material, folder } = this;
    const missing = fits.filter(({ key }) => !this.done.has(key));
    const [first] = missing;
    const engine =
      first &&
      (await engineFor(sharing, fitRunRequest(material, first), missing.length, openSeconds));
    if (engine !== undefined && first !== undefined && sharing !== undefined) {
      const fingerprint = splitsFingerprint(material.train, material.testSet);
      const seeds = {
        setup: await seedSetup(
          request,
          { kind: 'fit' },
          { fingerprint, folder: folder.path, version: sharing.version },
        ),
        pieces: missing.map(fitWorkItem),
        ...{ result: fitResultSchema, home: fitWork(material, folder) },
        ...{ steps: first.steps, stage },
        onResult: async (result: FitResult, index: number): Promise<void> => {
          await this.keep(missing[index] ?? first, result);
        },
      };
      await shareSeeds(seeds, engine, this.parts.job);
    }
    const entries: Entry[] = [];
    for (const fit of fits) {
      entries.push(this.done.get(fit.key) ?? (await this.fit(fit, stage)));
      this.parts.finish(fit.steps);
    }
    return entries;
  }

  private async fit(fit: KeyedFit, stage: Message): Promise<Entry> {
    const { cancellation } = this.job;
    const progress: TaskJob['progress'] = (state) => {
      this.parts.job.progress({ ...state, stage });
    };
    return this.keep(fit, await fitModel(this.material, fit, { cancellation, progress }));
  }

  private async keep({ key, checkpoint }: KeyedFit, result: FitResult): Promise<Entry> {
    const entry = { key, ...result };
    await this.journal.append([entry]);
    this.done.set(key, entry);
    await rm(checkpoint, { force: true });
    return entry;
  }
}
