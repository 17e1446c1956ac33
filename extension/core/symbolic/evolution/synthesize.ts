import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import type { Dispatcher } from '../../distribute/dispatcher';
import type { Engine, WorkSetup } from '../../distribute/work-item';
import { localOnly, withWorkers } from '../../distribute/with-workers';
import { encodePng } from '../../data/image/png';
import { Journal } from '../../jobs/journal';
import type { JobContext } from '../../jobs/job';
import { evolutionJournal, makeFolder } from '../../jobs/work-folder';
import { writeDocument, writeText } from '../../jobs/write-document';
import { stepKey } from '../../training/dropout';
import { exportModel } from '../../training/checkpoint';
import { UserError } from '../../user-error';
import { libraryDocument } from '../language/library-file';
import { trainingSteps } from '../module/train-network';
import type { NetworkMetrics } from '../module/train-network';
import { drawRaven } from '../raven/raven-data';
import { drawSplits } from '../raven/splits';
import type { SplitRequest } from '../raven/splits';
import { evolve, isBetter } from './evolve';
import type { EvolutionEvent, TrainingOrder } from './evolve';
import { documentNames } from '../../document-names';
import { metricsSchema, parseGssnnDocument } from './gssnn-document';
import type { EvolutionSettings, GssnnDocument, ModelRecord } from './gssnn-document';
import {
  networkFor,
  networkWorkItem,
  networkSetup,
  networkWork,
  splitRequest,
  resultWeights,
} from './network-pieces';
import type { NetworkRequest, NetworkResult } from './network-pieces';
import { say } from '../../message';
import { readSmallText } from '../../regular-file';

export interface SynthesisRequest {
  readonly settings: EvolutionSettings;
  /** Output folder. */
  readonly out: string;
  /** Number of training images to write as PNG files. */
  readonly pictures: number;
  /** Version of Espalier. */
  readonly version: string;
}

export interface SynthesisResult {
  readonly document: GssnnDocument;
  /** Path of the document. */
  readonly log: string;
  /** Path of the best network, ONNX. */
  readonly network: string;
  /** Path of the library after the last iteration, which contains all inventions that programs use. */
  readonly library: string;
}

const entrySchema = v.object({ number: v.number(), program: v.string(), metrics: metricsSchema });
type Entry = v.InferOutput<typeof entrySchema>;

/**
 * Runs an evolution and writes its log and its best network. Resumes if started again with the same settings, and does
 * nothing if it was finished.
 * @throws UserError if the folder contains another evolution or isn't writable, CancelledError
 */
export async function synthesize(
  { settings, out, pictures, version }: SynthesisRequest,
  job: JobContext<EvolutionEvent>,
  engine: Engine = localOnly,
): Promise<SynthesisResult> {
  const result = {
    log: join(out, `synthesis${documentNames.evolution.suffix}`),
    network: join(out, 'best.onnx'),
    library: join(out, 'library.json'),
  };
  const { log, network } = result;
  const done = await readDone(log, settings);
  if (done !== undefined) {
    return { document: done, ...result };
  }
  refuseOthers(out, [network, result.library]);
  await makeFolder(out, unwritable);
  const data = splitRequest(settings);
  const splits = await drawSplits(data, job);
  await writePictures(join(out, 'pictures'), data, Math.min(pictures, data.train));
  const journal = await Journal.open<Entry>(
    evolutionJournal(out),
    JSON.stringify(settings),
    (value) => v.parse(entrySchema, value),
  );
  const lines = {
    train: splits.train.lines,
    validation: splits.validation.lines,
    test: splits.test.lines,
  };
  job.emit({ kind: 'lines', lines });
  const setup = networkSetup(settings, version);
  const home = networkWork(settings, splits);
  const { baselines, iterations, library, best } = await withWorkers(
    engine,
    setup,
    home,
    job,
    async (pieces) => {
      const trainer = new JournaledTrainer(settings, { pieces, setup }, journal, network, job);
      const trained = await trainer.trainBaselines();
      const train = async (order: TrainingOrder): Promise<NetworkMetrics> => trainer.train(order);
      const evolution = await evolve(settings, train, job, (orders) => {
        trainer.begin(orders);
      });
      return { baselines: trained, ...evolution };
    },
  );
  const document: GssnnDocument = {
    ...{ format: 'espalier.gssnn', version: 1, settings },
    lines,
    ...(baselines.length === 0 ? {} : { baselines }),
    iterations,
    best,
    versions: { espalier: version },
  };
  await writeDocument(result.library, libraryDocument(library));
  await writeDocument(log, document);
  await journal.remove();
  return { document, ...result };
}

/** Trains networks that aren't in the journal yet, and stores the best in a file. */
class JournaledTrainer {
  private readonly done: ReadonlyMap<number, Entry>;
  private best: Omit<ModelRecord, 'kept'> | undefined;
  /** Networks in training or queued, by number. */
  private readonly begun = new Map<number, Promise<NetworkResult>>();
  /** Steps done by the networks that are trained together. */
  private readonly made = new Map<number, number>();

  public constructor(
    private readonly settings: EvolutionSettings,
    private readonly workers: { readonly pieces: Dispatcher; readonly setup: WorkSetup },
    private readonly journal: Journal<Entry>,
    private readonly file: string,
    private readonly job: JobContext<EvolutionEvent>,
  ) {
    this.done = new Map(journal.replayed.map((entry) => [entry.number, entry]));
  }

  /** Starts training networks that will be requested later. */
  public begin(orders: readonly TrainingOrder[]): void {
    this.made.clear();
    for (const order of orders) {
      const { number, record, graph, seed } = order;
      if (this.known(number, record.program) === undefined) {
        // Errors are reported to the caller of `train`.
        void this.fit({ graph, seed }, order).catch(() => undefined);
      } else {
        this.made.set(number, this.steps);
      }
    }
  }

  public async train(order: TrainingOrder): Promise<NetworkMetrics> {
    const { number, record, graph, seed } = order;
    const known = this.known(number, record.program);
    if (known !== undefined) {
      this.offer({ ...record, metrics: known.metrics });
      return known.metrics;
    }
    const result = await this.fit({ graph, seed }, order);
    const model = { ...record, metrics: result.metrics };
    if (this.offer(model)) {
      const network = networkFor(this.settings, { graph, seed });
      // Before the journal entry: a run killed in between trains and writes this network again.
      await writeText(
        this.file,
        exportModel(network, resultWeights(result), networkMetadata(model)),
      );
    }
    const { metrics, program } = model;
    await this.journal.append([{ number, program, metrics }]);
    // Weights of all networks wouldn't fit in memory.
    this.begun.delete(number);
    return metrics;
  }

  /** Trains baseline networks with a dense layer instead of a graph. */
  public async trainBaselines(): Promise<NetworkMetrics[]> {
    const { baselines: total = 0, seed } = this.settings;
    // Numbers below those of the models.
    const places = Array.from({ length: total }, (_, i) => ({
      ...{ number: -1 - i, total },
      stage: say`Training the baseline, run ${i + 1} of ${total}`,
    }));
    const results = places.map(async (place) => {
      const known = this.known(place.number, '');
      return known ?? this.fit({ seed: stepKey(seed, place.number) }, place);
    });
    // If one fails, the following ones aren't awaited.
    results.forEach((result) => {
      result.catch(() => undefined);
    });
    const trained: NetworkMetrics[] = [];
    for (const [i, result] of results.entries()) {
      const { metrics } = await result;
      const number = -1 - i;
      if (!this.done.has(number)) {
        await this.journal.append([{ number, program: '', metrics }]);
      }
      this.begun.delete(number);
      trained.push(metrics);
      this.job.emit({ kind: 'baseline', metrics });
    }
    return trained;
  }

  /**
   * Journal entry of a network, if it has the same program; a search of another version may have found another graph.
   */
  private known(number: number, program: string): Entry | undefined {
    const entry = this.done.get(number);
    return entry?.program === program ? entry : undefined;
  }

  private get steps(): number {
    return trainingSteps(this.settings.data.train, this.settings.epochs);
  }

  /** Result of a network; starts its training if necessary. */
  private async fit(
    request: NetworkRequest,
    { number, stage, total }: Pick<TrainingOrder, 'number' | 'stage' | 'total'>,
  ): Promise<NetworkResult> {
    const { pieces, setup } = this.workers;
    const progress = ({ done: made }: { readonly done: number }): void => {
      this.made.set(number, made);
      const done = [...this.made.values()].reduce((sum, one) => sum + one, 0);
      this.job.progress({ stage, done, total: total * this.steps, unit: 'steps' });
    };
    const result =
      this.begun.get(number) ??
      pieces.add(networkWorkItem(setup, number, request), { progress }).result;
    this.begun.set(number, result);
    const found = await result;
    this.made.set(number, this.steps);
    return found;
  }

  /** Records a model if it is the best so far; returns true if it is. */
  private offer(model: Omit<ModelRecord, 'kept'>): boolean {
    const better = this.best === undefined || isBetter(model, this.best);
    this.best = better ? model : this.best;
    return better;
  }
}

/** Metadata of the network's file. */
const networkMetadata = ({ name, program, graph, metrics }: Omit<ModelRecord, 'kept'>) => ({
  'espalier.program': program,
  'espalier.graph': JSON.stringify({ name, ...graph }),
  'espalier.accuracies': JSON.stringify(metrics),
});

/** Finished evolution with these settings, or undefined. */
async function readDone(
  file: string,
  settings: EvolutionSettings,
): Promise<GssnnDocument | undefined> {
  const text = await readSmallText(file).catch(() => undefined);
  const document = text === undefined ? undefined : parseGssnnDocument(text, file);
  if (document !== undefined && !isDeepStrictEqual(document.settings, settings)) {
    throw new UserError(
      'evolution-other-settings',
      say`The folder contains an evolution with other settings.`,
      { file, remedy: say`Choose another folder, or remove this one.` },
    );
  }
  return document;
}

const unwritable = say`Choose a folder that can be written to.`;

/** @throws UserError if a result would replace a file that wasn't written by an evolution in this folder */
function refuseOthers(out: string, files: readonly string[]): void {
  const [other] = existsSync(evolutionJournal(out)) ? [] : files.filter((file) => existsSync(file));
  if (other !== undefined) {
    throw new UserError('file-exists', say`The file exists already.`, {
      file: other,
      remedy: say`Choose another folder, or move that file.`,
    });
  }
}

/** Writes the first training examples as images named by number, type and label. */
async function writePictures(folder: string, data: SplitRequest, count: number): Promise<void> {
  if (count === 0) {
    return;
  }
  await makeFolder(folder, unwritable);
  const { size } = data;
  const source = drawRaven(data);
  for (let i = 0; i < count; i++) {
    const { matrix, pixels, label } = source.next().value;
    const name = `${String(i).padStart(3, '0')}-${matrix.type.toLowerCase()}-${Number(label)}.png`;
    const png = encodePng({ width: size, height: size, channels: 1, data: pixels });
    await writeText(join(folder, name), png);
  }
}
