import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Dataset, DatasetOptions } from '../../data/datasets/dataset';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { floatsIn, floatTensor, floatOutput } from '../../runtime/tensors';
import type { Tensors, Tensor } from '../../runtime/tensors';
import type { Trainer } from '../../training/trainer';
import { UserError } from '../../user-error';
import { openScored } from '../scores/scored-data';
import { measureAccuracy, allExamples } from '../scores/predictions';
import { openProxy } from '../training/proxy-model';
import type { ProxyModel, ProxyRequest } from '../training/proxy-model';
import { scoreValues } from '../scores/score-document';
import type { ScoreDocument } from '../scores/score-document';
import { stepsPerEpoch, trainRun } from '../training/training-run';
import type { RunHooks, RunRequest } from '../training/training-run';
import type { TrainingSettings } from '../training/training-settings';
import { counted, say } from '../../message';
import type { Message } from '../../message';
import { DataType } from '../../onnx/graph-builder';
import { createSession } from '../../runtime/session';
import type { TrainableModel } from '../../training/trainable-model';
import { emitGradientGram } from '../scores/gradient-norms';

export interface GroupStudyRequest {
  readonly data: string;
  readonly options: DatasetOptions;
  readonly proxy: ProxyRequest;
  readonly training: TrainingSettings;
  readonly epochs: number;
  /** Number of groups of consecutive examples, evenly spaced in the order of scores. */
  readonly groups: number;
  readonly groupSize: number;
  /** Epochs after which two children continue from the same weights with different example orders. */
  readonly spawn: readonly number[];
  readonly seed: number;
}

/** Effect of groups of similar scores on training. */
export interface GroupStudy {
  readonly format: 'espalier.datagroups';
  readonly version: 1;
  readonly score: string;
  readonly groups: readonly {
    /** Rank of the group's first example, in ascending order of scores. */
    readonly rank: number;
    readonly meanScore: number;
    /** Change of the tangent kernel in each epoch, 0 to 1. */
    readonly kernelVelocity: readonly number[];
    /**
     * For each epoch of `spawn`: maximum training error on the path between the weights of two children, minus the mean
     * of their own errors (Frankle et al. 2020, arXiv 1912.05671, § 2).
     */
    readonly errorBarrier: readonly number[];
  }[];
  readonly spawn: readonly number[];
  readonly epochs: number;
}

/** Number of evaluated points between the weights of two children, including both ends. */
const places = 11;
/** Seeds for the example order of children, far from those of parents. */
const childSeeds = [2001, 2002] as const;

/**
 * Measures kernel velocity and linear mode connectivity of groups of examples with similar scores (Paul et al. 2021,
 * arXiv 2107.07075, § 5).
 */
export async function studyGroups(
  request: GroupStudyRequest,
  document: ScoreDocument,
  job: JobContext<unknown>,
): Promise<GroupStudy> {
  const { data, options, proxy: model, groups: count, groupSize, epochs, spawn, seed } = request;
  const { dataset } = await openScored(document, data, options);
  const late = spawn.find((epoch) => epoch >= epochs);
  if (late !== undefined) {
    throw new UserError(
      'spawn-epoch-too-late',
      say`The children of epoch ${late} have no epochs left: the run has ${epochs}.`,
      { field: 'spawn', remedy: say`Choose earlier epochs, or train for more.` },
    );
  }
  const scores = scoreValues(document);
  const groups = contiguousGroups(scores, count, groupSize);
  const proxy = await openProxy(model, dataset);
  const folder = await mkdtemp(join(tmpdir(), 'espalier-groups-'));
  try {
    const study = new Study({ request, dataset, proxy, groups }, folder, job);
    const velocities = await study.trainParent(seed);
    const barriers: number[][] = [];
    for (const epoch of spawn) {
      barriers.push(await study.barriers(epoch));
    }
    return {
      format: 'espalier.datagroups',
      version: 1,
      score: document.score,
      groups: groups.map(({ rank, examples }, g) => ({
        rank,
        meanScore: examples.reduce((sum, i) => sum + (scores[i] ?? 0), 0) / examples.length,
        kernelVelocity: velocities.map((epoch) => epoch[g] ?? 0),
        errorBarrier: barriers.map((epoch) => epoch[g] ?? 0),
      })),
      spawn,
      epochs,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Group {
  readonly rank: number;
  readonly examples: Int32Array;
}

/** Evenly spaced groups of consecutive examples in the order of scores, from lowest to highest. */
export function contiguousGroups(scores: Float64Array, count: number, size: number): Group[] {
  if (count < 1 || size < 2 || count * size > scores.length) {
    throw new UserError(
      'groups-too-large',
      say`${counted(count, 'group')} of ${size} need more than ${counted(scores.length, 'example')}.`,
      { field: 'groups', remedy: say`Use fewer or smaller groups.` },
    );
  }
  const order = Array.from(scores.keys()).sort(
    (a, b) => (scores[a] ?? 0) - (scores[b] ?? 0) || a - b,
  );
  return Array.from({ length: count }, (_, g) => {
    const rank = count === 1 ? 0 : Math.round((g * (scores.length - size)) / (count - 1));
    return { rank, examples: Int32Array.from(order.slice(rank, rank + size)) };
  });
}

interface Material {
  readonly request: GroupStudyRequest;
  readonly dataset: Dataset;
  readonly proxy: ProxyModel;
  readonly groups: readonly Group[];
}

class Study {
  private readonly run: Omit<RunRequest, 'seed'>;

  public constructor(
    private readonly material: Material,
    private readonly folder: string,
    private readonly job: JobContext<unknown>,
  ) {
    const { request, dataset, proxy } = material;
    const { training: settings, epochs } = request;
    const steps = epochs * stepsPerEpoch(dataset.size, settings);
    const examples = allExamples(dataset.size);
    this.run = { proxy, dataset, labels: dataset.labels, examples, steps, settings };
  }

  /** Trains the parent, saves its state after every epoch, and returns the kernel velocity by group and epoch. */
  public async trainParent(seed: number): Promise<number[][]> {
    const { proxy, dataset, groups } = this.material;
    const untrained = proxy.untrained(seed);
    const kernel = await TangentKernel.create(untrained, dataset.classNames.length);
    const groupKernels = async (trainer: Trainer): Promise<Float64Array[]> => {
      const found: Float64Array[] = [];
      for (const { examples } of groups) {
        await checkpoint(this.job.cancellation);
        const inputs = proxy.inputs(dataset, examples);
        found.push(await kernel.of(inputs, (name) => trainer.tensor(name)));
      }
      return found;
    };
    try {
      const { trainer: initial } = await trainRun(
        { ...this.run, seed, steps: 0 },
        this.hooks(say``),
      );
      let before = await groupKernels(initial);
      await initial.save(this.statePath(0));
      await initial.dispose();
      const velocities: number[][] = [];
      const { trainer } = await trainRun(
        { ...this.run, seed },
        {
          ...this.hooks(say`the parent`),
          epoch: async (epoch, current) => {
            const after = await groupKernels(current);
            velocities.push(
              after.map((now, g) => kernelVelocity(before[g] ?? new Float64Array(0), now)),
            );
            before = after;
            await current.save(this.statePath(epoch));
          },
        },
      );
      await trainer.dispose();
      return velocities;
    } finally {
      await kernel.dispose();
    }
  }

  /** Error barrier of each group between two children of the parent's state after `epoch`. */
  public async barriers(epoch: number): Promise<number[]> {
    const { request, groups, proxy, dataset } = this.material;
    const ends: Trainer[] = [];
    try {
      for (const seed of childSeeds) {
        const checkpointFile = join(this.folder, `child-${seed}.safetensors`);
        await copyFile(this.statePath(epoch), checkpointFile);
        const hooks = {
          ...this.hooks(say`children of epoch ${epoch}`),
          checkpoint: checkpointFile,
        };
        // The parent's seed determines weights and dropout; only the example order differs.
        const { trainer } = await trainRun(
          { ...this.run, seed: request.seed, orderSeed: seed },
          hooks,
        );
        ends.push(trainer);
      }
      const [a, b] = ends;
      if (a === undefined || b === undefined) {
        throw new Error('there are no two children');
      }
      const errors: number[][] = [];
      for (let place = 0; place < places; place++) {
        const between = interpolate(a, b, place / (places - 1));
        const evaluator = { evaluate: async (x: Tensors) => a.evaluate({ ...x, ...between }) };
        const row: number[] = [];
        for (const { examples } of groups) {
          const on = { labels: dataset.labels, examples };
          row.push(
            1 - (await measureAccuracy(evaluator, proxy, dataset, this.job.cancellation, on)),
          );
        }
        errors.push(row);
      }
      return groups.map((_, g) => {
        const along = errors.map((row) => row[g] ?? 0);
        return Math.max(...along) - ((along[0] ?? 0) + (along.at(-1) ?? 0)) / 2;
      });
    } finally {
      await Promise.all(ends.map(async (trainer) => trainer.dispose()));
      await Promise.all(
        childSeeds.map(async (seed) =>
          rm(join(this.folder, `child-${seed}.safetensors`), { force: true }),
        ),
      );
    }
  }

  private statePath(epoch: number): string {
    return join(this.folder, `epoch-${epoch}.safetensors`);
  }

  private hooks(what: Message): RunHooks {
    return {
      cancellation: this.job.cancellation,
      step: (done) => {
        const { steps: total } = this.run;
        this.job.progress({ stage: say`Training ${what}`, done, total, unit: 'steps' });
      },
    };
  }
}

/** Parameters and running statistics, linearly interpolated between two models. */
function interpolate(a: Trainer, b: Trainer, share: number): Tensors {
  return Object.fromEntries(
    a.parameterNames.map((name) => {
      const [from, to] = [a.tensor(name), floatsIn(b.tensor(name))];
      const numbers = floatsIn(from).map((x, i) => (1 - share) * x + share * (to[i] ?? 0));
      return [name, floatTensor(numbers, from.dims)] as const;
    }),
  );
}

const [kernel, direction] = ['tangent_kernel', 'logit_direction'] as const;

/**
 * Neural tangent kernel of a model's logits, K(x, x') = Σ over classes c of ⟨∇f_c(x), ∇f_c(x')⟩: the trace over classes
 * of the kernel of Jacot et al. 2018 (arXiv 1806.07572), at the current weights.
 */
export class TangentKernel {
  private constructor(
    private readonly session: Awaited<ReturnType<typeof createSession>>,
    private readonly classes: number,
  ) {}

  /** @throws UserError if an operator has no gradient, or none per example. */
  public static async create(model: TrainableModel, classes: number): Promise<TangentKernel> {
    const { graph, output } = model.forward('evaluate');
    const weights = graph.input(direction, DataType.FLOAT, [classes, 1]);
    const column = graph.op('MatMul', [output.value, weights]);
    const value = graph.op('Squeeze', [column, graph.ints([1])]);
    const batch = output.shape.slice(0, 1);
    const names = model.parameters.map(({ name }) => name);
    const gram = emitGradientGram(graph, { value, shape: batch }, names);
    graph.output(kernel, gram, DataType.FLOAT, [...batch, ...batch]);
    const session = await createSession(graph, { device: 'cpu', prepack: true });
    return new TangentKernel(session, classes);
  }

  /** Kernel of a batch of n examples, n · n values. */
  public async of(inputs: Tensors, parameter: (name: string) => Tensor): Promise<Float64Array> {
    let sum: Float64Array | undefined;
    for (let label = 0; label < this.classes; label++) {
      const unit = new Float32Array(this.classes);
      unit[label] = 1;
      const given: Tensors = { ...inputs, [direction]: floatTensor(unit, [this.classes, 1]) };
      const feeds = this.session.inputNames.map(
        (name) => [name, given[name] ?? parameter(name)] as const,
      );
      const one = floatOutput(await this.session.run(Object.fromEntries(feeds)), kernel);
      const before = sum ?? new Float64Array(one.length);
      sum = before.map((value, i) => value + (one[i] ?? 0));
    }
    return sum ?? new Float64Array(0);
  }

  public async dispose(): Promise<void> {
    await this.session.release();
  }
}

/** Change of a kernel as 1 − cosine (Paul et al. 2021, § 5; Fort et al. 2020, arXiv 2010.15110). */
export function kernelVelocity(before: Float64Array, after: Float64Array): number {
  let [product, squares, others] = [0, 0, 0];
  before.forEach((a, i) => {
    const b = after[i] ?? 0;
    product += a * b;
    squares += a * a;
    others += b * b;
  });
  return 1 - product / Math.sqrt(squares * others);
}
