import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import * as v from 'valibot';
import type { Dataset, DatasetOptions } from '../data/datasets/dataset';
import { Journal } from '../jobs/journal';
import type { JobContext } from '../jobs/job';
import { auroc, flipLabels } from './label-noise';
import type { NoisyLabels } from './label-noise';
import { holdOut, openSplits } from './open-splits';
import { accuracyOf, allExamples } from './predictions';
import { openProxy } from './proxy-model';
import type { ProxyModel, ProxyRequest } from './proxy-model';
import { digestOf, RunFolder } from './run-folder';
import { scoreOpenDataset } from './score-dataset';
import type { ScoreDocument, ScoreKind } from './score-document';
import { scoresOf } from './score-document';
import { selectExamples } from './selection';
import type { Policy, SelectionRequest } from './selection';
import { mean, sampleDeviation } from './statistics';
import { stepsPerEpoch, trainRun } from './training-run';
import type { TrainingSettings } from './training-settings';

/** Scores of one kind, taken at one epoch. */
export interface ScoreChoice {
  readonly kind: ScoreKind;
  readonly epoch: number;
}

export interface DietRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  readonly test?: string;
  readonly proxy: ProxyRequest;
  readonly scores: readonly ScoreChoice[];
  /** Runs over which scores are averaged. */
  readonly runs: number;
  /** Shares of the examples that are kept. */
  readonly keep: readonly number[];
  /** Besides random choice, which always stands beside. */
  readonly policies: readonly Exclude<Policy, 'random'>[];
  /** Shares that a window may drop; where there are several, validation data choose. */
  readonly offsets: readonly number[];
  readonly balanced: boolean;
  /** Epochs of the whole data set. */
  readonly epochs: number;
  /** Trainings of each choice, with seeds that scoring has not used. */
  readonly seeds: number;
  /** Whether a part is trained for as many steps as the whole, or for as many epochs. */
  readonly iso: 'steps' | 'epochs';
  readonly training: TrainingSettings;
  readonly noise?: { readonly rate: number; readonly seed: number };
  /** Folder that keeps what is done while the job works. */
  readonly folder: string;
}

/** How well a choice of examples trains. */
export interface DietRow {
  /** `full`, `random`, or a score such as `el2n@3`. */
  readonly choice: string;
  readonly policy?: Policy;
  readonly offset?: number;
  readonly keep: number;
  readonly examples: number;
  readonly steps: number;
  /** On the test data, 0 to 1, of each seed. */
  readonly accuracies: readonly number[];
  readonly mean: number;
  /** Standard deviation of the sample; absent for one seed. */
  readonly deviation?: number;
  /** Share of the kept examples whose label was flipped, where that is known. */
  readonly wrongLabels?: number;
  /** Of all its trainings together. */
  readonly seconds: number;
}

/** What validation data say of the windows of a score. */
export interface OffsetSweep {
  readonly choice: string;
  readonly keep: number;
  readonly validated: readonly {
    readonly offset: number;
    readonly accuracies: readonly number[];
  }[];
  readonly chosen: number;
  readonly seconds: number;
}

export interface DietResult {
  readonly format: 'espalier.datadiet';
  readonly version: 1;
  readonly dataset: {
    readonly name: string;
    /** Of the training data with those that were held out, as scores of them have it. */
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
    /** How well the score tells flipped labels from right ones. */
    readonly noiseAuroc?: number;
  }[];
  readonly sweeps: readonly OffsetSweep[];
  readonly rows: readonly DietRow[];
}

/** Share of the examples that choose between windows. */
const validationShare = 0.1;
/** So far from the seeds of scoring that none is met again. */
const firstSeed = 1000;

const entrySchema = v.object({ key: v.string(), accuracy: v.number(), seconds: v.number() });
type Entry = v.InferOutput<typeof entrySchema>;

const nameOf = ({ kind, epoch }: ScoreChoice): string => `${kind}@${epoch}`;

/**
 * Measures what choosing examples by their scores does to a model trained on them: always beside the whole
 * data set and beside random choices of the same size. Started again, it goes on where it was.
 */
export async function runDiet(request: DietRequest, job: JobContext<unknown>): Promise<DietResult> {
  const { data, options, test, proxy: model, noise, folder, ...settings } = request;
  const splits = await openSplits(data, options, test);
  splits.warnings.forEach((warning) => {
    job.warn(warning);
  });
  const { train, test: testSet, fingerprint } = splits;
  const noisy =
    noise === undefined
      ? { labels: train.labels, flipped: new Uint8Array(train.size) }
      : flipLabels(train.labels, train.classNames.length, noise.rate, noise.seed);
  const identity = {
    data: train.fingerprint,
    test: testSet.fingerprint,
    labels: digestOf(noisy.labels),
    model,
    epochs: settings.epochs,
    training: settings.training,
  };
  const runFolder = await RunFolder.open(folder, identity, 'replace');
  const journal = await Journal.open<Entry>(
    runFolder.file('journal.jsonl'),
    JSON.stringify(identity),
    (value) => v.parse(entrySchema, value),
  );
  const bench = new DietBench(
    { request, train, testSet, fingerprint, noisy, proxy: await openProxy(model, train) },
    runFolder,
    journal,
    job,
  );
  const result = await bench.run();
  await runFolder.remove();
  return result;
}

interface Material {
  readonly request: DietRequest;
  readonly train: Dataset;
  readonly testSet: Dataset;
  readonly fingerprint: string;
  readonly noisy: NoisyLabels;
  readonly proxy: ProxyModel;
}

/** What a trained model is examined on. */
interface Examination {
  readonly name: 'test' | 'validation';
  readonly dataset: Dataset;
  readonly labels: Int32Array;
  readonly examples: Int32Array;
}

class DietBench {
  private readonly done: Map<string, Entry>;

  public constructor(
    private readonly material: Material,
    private readonly folder: RunFolder,
    private readonly journal: Journal<Entry>,
    private readonly job: JobContext<unknown>,
  ) {
    this.done = new Map(journal.replayed.map((entry) => [entry.key, entry]));
  }

  public async run(): Promise<DietResult> {
    const { request, train, testSet, fingerprint, noisy } = this.material;
    const { scores, keep: shares, policies, balanced } = request;
    const scored: { name: string; document: ScoreDocument }[] = [];
    for (const choice of scores) {
      scored.push({ name: nameOf(choice), document: await this.score(choice) });
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
        const noiseAuroc = auroc(scoresOf(document), noisy.flipped);
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
    const { request, train } = this.material;
    const { data, options, proxy, runs, training, noise } = request;
    return scoreOpenDataset(
      {
        ...{ data, options, proxy, score: kind, runs, epoch, training },
        ...(noise === undefined ? {} : { noise }),
        folder: this.folder.file(nameOf({ kind, epoch })),
        keepRuns: true,
      },
      train,
      this.job,
    );
  }

  /** Trains on a choice from every seed; on everything if it is undefined. */
  private async measure(
    choice: string,
    selection: SelectionRequest | undefined,
    keep: number,
    document?: ScoreDocument,
  ): Promise<DietRow> {
    const { train, noisy, request, testSet } = this.material;
    const test: Examination = {
      name: 'test',
      dataset: testSet,
      labels: testSet.labels,
      examples: allExamples(testSet.size),
    };
    const results: Entry[] = [];
    let wrong = 0;
    let size = 0;
    let steps = 0;
    for (let seed = firstSeed; seed < firstSeed + request.seeds; seed++) {
      const examples =
        selection === undefined ? allExamples(train.size) : this.select(selection, document, seed);
      size = examples.length;
      steps = this.stepsFor(size);
      wrong += examples.reduce((sum, example) => sum + (noisy.flipped[example] ?? 0), 0) / size;
      results.push(await this.train(examples, seed, `${choice}, ${size} examples`, test));
    }
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
      ...(request.noise === undefined ? {} : { wrongLabels: wrong / request.seeds }),
      seconds: results.reduce((sum, { seconds }) => sum + seconds, 0),
    };
  }

  /** Random choices differ from seed to seed, as they would from user to user. */
  private select(
    selection: SelectionRequest,
    document: ScoreDocument | undefined,
    seed: number,
    among?: Int32Array,
  ): Int32Array {
    const { train, noisy } = this.material;
    const scores = document === undefined ? new Float64Array(train.size) : scoresOf(document);
    return selectExamples(scores, noisy.labels, { ...selection, seed }, among);
  }

  /**
   * Chooses the window by training on a part of the examples and validating on the rest, labels being as
   * the user has them. Where there is but one window nothing is trained.
   */
  private async sweep(
    choice: string,
    document: ScoreDocument,
    selection: SelectionRequest,
  ): Promise<OffsetSweep> {
    const { request, train, noisy } = this.material;
    const { keep } = selection;
    const offsets = request.offsets.filter((offset) => offset + keep <= 1);
    const [first = 0, ...more] = offsets;
    if (more.length === 0) {
      return { choice, keep, validated: [], chosen: first, seconds: 0 };
    }
    const { labels } = noisy;
    const { kept, heldOut } = holdOut(labels, allExamples(train.size), validationShare, 1);
    const validation = { name: 'validation', dataset: train, labels, examples: heldOut } as const;
    const validated: { offset: number; accuracies: number[] }[] = [];
    let seconds = 0;
    for (const offset of offsets) {
      const accuracies: number[] = [];
      for (let seed = firstSeed; seed < firstSeed + request.seeds; seed++) {
        const examples = this.select({ ...selection, offset }, document, seed, kept);
        const stage = `${choice}, window behind ${offset}`;
        const result = await this.train(examples, seed, stage, validation);
        accuracies.push(result.accuracy);
        seconds += result.seconds;
      }
      validated.push({ offset, accuracies });
    }
    const [best] = [...validated].sort((a, b) => mean(b.accuracies) - mean(a.accuracies));
    return { choice, keep, validated, chosen: best?.offset ?? 0, seconds };
  }

  private stepsFor(examples: number): number {
    const { train, request } = this.material;
    const { iso, epochs, training } = request;
    return epochs * stepsPerEpoch(iso === 'steps' ? train.size : examples, training);
  }

  private async train(
    examples: Int32Array,
    seed: number,
    stage: string,
    on: Examination,
  ): Promise<Entry> {
    const { train: dataset, noisy, request, proxy } = this.material;
    const steps = this.stepsFor(examples.length);
    const key = createHash('sha256')
      .update(`${on.name} ${seed} ${steps} ${digestOf(examples)}`)
      .digest('hex');
    const known = this.done.get(key);
    if (known !== undefined) {
      return known;
    }
    const checkpoint = this.folder.file(`${key.slice(0, 16)}.safetensors`);
    const settings = request.training;
    const run = { proxy, dataset, labels: noisy.labels, examples, seed, steps, settings };
    const { trainer, seconds } = await trainRun(run, {
      cancellation: this.job.cancellation,
      checkpoint,
      step: (made) => {
        this.job.progress({
          stage: `Training on ${stage}`,
          done: made,
          total: steps,
          unit: 'steps',
        });
      },
    });
    try {
      const entry = {
        key,
        accuracy: await accuracyOf(trainer, proxy, on.dataset, this.job.cancellation, on),
        seconds,
      };
      await this.journal.append([entry]);
      this.done.set(key, entry);
      await rm(checkpoint, { force: true });
      return entry;
    } finally {
      await trainer.dispose();
    }
  }
}
