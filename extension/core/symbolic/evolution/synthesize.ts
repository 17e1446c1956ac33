import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import { encodePng } from '../../data/image/png';
import { Journal } from '../../jobs/journal';
import type { JobContext } from '../../jobs/job';
import { evolutionJournal } from '../../jobs/work-folder';
import { writeDocument, writeText } from '../../jobs/write-document';
import type { BuiltModel } from '../../training/built-model';
import { stepKey } from '../../training/dropout';
import { exportModel } from '../../training/export-model';
import { UserError } from '../../user-error';
import { libraryDocument } from '../language/library-file';
import { createNetwork } from '../module/network';
import type { Head } from '../module/network';
import { networkSizes } from '../module/network-sizes';
import { trainingSteps, trainNetwork } from '../module/train-network';
import type { NetworkMetrics } from '../module/train-network';
import { drawRaven } from '../raven/raven-data';
import { drawSplits } from '../raven/splits';
import type { RavenSplits, SplitRequest } from '../raven/splits';
import { evolve, isBetter } from './evolve';
import type { EvolutionEvent, TrainingOrder } from './evolve';
import { documentNames } from '../../document-names';
import { metricsSchema, parseGssnnDocument } from './gssnn-document';
import type { EvolutionSettings, GssnnDocument, ModelRecord } from './gssnn-document';
import { say } from '../../message';

export interface SynthesisRequest {
  readonly settings: EvolutionSettings;
  /** Folder of what is written. */
  readonly out: string;
  /** Pictures of the training data that are written as PNG files, to be looked at. */
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
  /** Path of the library after the last iteration, in which all programs can be read. */
  readonly library: string;
}

const entrySchema = v.object({ number: v.number(), program: v.string(), metrics: metricsSchema });
type Entry = v.InferOutput<typeof entrySchema>;

/**
 * Runs an evolution and writes its log and its best network. Started again with the same settings it goes on
 * where it was, and does nothing if it was done.
 * @throws UserError when the folder holds another evolution or cannot be written to, CancelledError
 */
export async function synthesize(
  { settings, out, pictures, version }: SynthesisRequest,
  job: JobContext<EvolutionEvent>,
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
  await makeFolder(out);
  const data = splitRequest(settings);
  const splits = await drawSplits(data, job);
  await writePictures(join(out, 'pictures'), data, Math.min(pictures, data.train));
  const journal = await Journal.open<Entry>(
    evolutionJournal(out),
    JSON.stringify(settings),
    (value) => v.parse(entrySchema, value),
  );
  const trainer = new JournaledTrainer(settings, splits, journal, network, job);
  const lines = {
    train: splits.train.lines,
    validation: splits.validation.lines,
    test: splits.test.lines,
  };
  job.emit({ kind: 'lines', lines });
  const baselines = await trainer.trainBaselines();
  const { iterations, library, best } = await evolve(
    settings,
    async (order) => trainer.train(order),
    job,
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

/** The data that an evolution trains on. */
export function splitRequest({ size, data }: EvolutionSettings): SplitRequest {
  return { ...data, size: networkSizes[size].encoder.imageSize };
}

/** Trains networks whose accuracies the journal does not have, and keeps the best as a file. */
class JournaledTrainer {
  private readonly done: ReadonlyMap<number, Entry>;
  private best: Omit<ModelRecord, 'kept'> | undefined;

  public constructor(
    private readonly settings: EvolutionSettings,
    private readonly splits: RavenSplits,
    private readonly journal: Journal<Entry>,
    private readonly file: string,
    private readonly job: JobContext<EvolutionEvent>,
  ) {
    this.done = new Map(journal.replayed.map((entry) => [entry.number, entry]));
  }

  public async train(order: TrainingOrder): Promise<NetworkMetrics> {
    const known = this.done.get(order.number);
    // A search of another version may have found another graph.
    if (known?.program === order.record.program) {
      this.offer({ ...order.record, metrics: known.metrics });
      return known.metrics;
    }
    const { graph, seed, stage, done, total } = order;
    const head: Head = { kind: 'graph', graph, mode: this.settings.mode };
    const { network, metrics, weights } = await this.fit(head, seed, { stage, done, total });
    const model = { ...order.record, metrics };
    if (this.offer(model)) {
      // Before the journal: a run that is killed between trains this network again and writes it again.
      await writeText(this.file, exportModel(network, weights, metadataOf(model)));
    }
    const { program } = model;
    await this.journal.append([{ number: order.number, program, metrics }]);
    return metrics;
  }

  /** Networks with a dense layer where others have a graph: what those have to be better than. */
  public async trainBaselines(): Promise<NetworkMetrics[]> {
    const { baselines = 0, seed } = this.settings;
    const trained: NetworkMetrics[] = [];
    for (let i = 0; i < baselines; i++) {
      // Numbers below those of the models.
      const number = -1 - i;
      let metrics = this.done.get(number)?.metrics;
      if (metrics === undefined) {
        const stage = say`Training the baseline, run ${i + 1} of ${baselines}`;
        const place = { stage, done: i, total: baselines };
        ({ metrics } = await this.fit({ kind: 'linear' }, stepKey(seed, number), place));
        await this.journal.append([{ number, program: '', metrics }]);
      }
      trained.push(metrics);
      this.job.emit({ kind: 'baseline', metrics });
    }
    return trained;
  }

  private async fit(
    head: Head,
    seed: number,
    { stage, done, total }: Pick<TrainingOrder, 'stage' | 'done' | 'total'>,
  ): Promise<{ network: BuiltModel } & Awaited<ReturnType<typeof trainNetwork>>> {
    const { size, epochs, data } = this.settings;
    const steps = trainingSteps(data.train, epochs);
    const network = createNetwork(networkSizes[size], head, seed);
    const trained = await trainNetwork(
      network,
      this.splits,
      { epochs, seed },
      {
        cancellation: this.job.cancellation,
        step: (made) => {
          const progress = { done: done * steps + made, total: total * steps };
          this.job.progress({ stage, ...progress, unit: 'steps' });
        },
      },
    );
    return { network, ...trained };
  }

  /** Whether the model is the best so far. */
  private offer(model: Omit<ModelRecord, 'kept'>): boolean {
    const better = this.best === undefined || isBetter(model, this.best);
    this.best = better ? model : this.best;
    return better;
  }
}

/** What the network's file says of itself. */
const metadataOf = ({ name, program, graph, metrics }: Omit<ModelRecord, 'kept'>) => ({
  'espalier.program': program,
  'espalier.graph': JSON.stringify({ name, ...graph }),
  'espalier.accuracies': JSON.stringify(metrics),
});

/** The finished evolution of these settings; undefined where there is none. */
async function readDone(
  file: string,
  settings: EvolutionSettings,
): Promise<GssnnDocument | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  const document = text === undefined ? undefined : parseGssnnDocument(text, file);
  if (document !== undefined && !isDeepStrictEqual(document.settings, settings)) {
    throw new UserError(say`The folder contains an evolution with other settings.`, {
      file,
      remedy: say`Choose another folder, or remove this one.`,
    });
  }
  return document;
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw new UserError(say`The folder cannot be made: ${(error as Error).message}.`, {
      file: path,
      remedy: say`Choose a folder that can be written to.`,
    });
  }
}

/** The first training examples as files that tell number, type and label. */
async function writePictures(folder: string, data: SplitRequest, count: number): Promise<void> {
  if (count === 0) {
    return;
  }
  await makeFolder(folder);
  const { size } = data;
  const source = drawRaven(data);
  for (let i = 0; i < count; i++) {
    const { matrix, pixels, label } = source.next().value;
    const name = `${String(i).padStart(3, '0')}-${matrix.type.toLowerCase()}-${Number(label)}.png`;
    const png = encodePng({ width: size, height: size, channels: 1, data: pixels });
    await writeText(join(folder, name), png);
  }
}
