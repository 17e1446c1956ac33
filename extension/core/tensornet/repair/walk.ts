import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { ModelInput } from '../../models/model-input';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import { streamAfter } from './graph-slice';
import type { RepairSettings } from './repair-settings';
import type { SliceData, SlicePair } from './graph-slice';
import { relativeSquares } from '../../linear-algebra/small-matrix';
import { createReadout } from '../../metrics/metric-readout';
import { metrics } from '../../metrics/metrics';
import { floatsIn } from '../../runtime/tensors';

/** A model to repair, and its teacher. */
export interface RepairSetup {
  readonly student: LayeredModel;
  readonly teacher: LayeredModel;
  /** Index of the teacher's sublayer for each of the student's. */
  readonly places: readonly number[];
  /** Encodings of the student's linear layers to train, by id. */
  readonly forms: ReadonlyMap<string, MatrixEncoding>;
  readonly train: readonly ModelInput[];
  readonly heldOut: readonly ModelInput[];
  readonly settings: RepairSettings;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** Awaited after each run; may throw to stop. */
export type Pause = () => Promise<void>;

/** States of the teacher; only those of one boundary are in memory. */
export class TeacherWalk {
  private states: readonly HiddenState[] = [];
  /** Index of the sublayer that the states precede; infinite before the start. */
  private at = Number.POSITIVE_INFINITY;

  public constructor(
    public readonly executor: LayeredExecutor,
    private readonly inputs: readonly ModelInput[],
  ) {}

  /** States before the teacher's sublayer `index`, or after the last one. Going back restarts from the embeddings. */
  public async before(index: number, pause: Pause): Promise<readonly HiddenState[]> {
    if (index < this.at) {
      this.states = await embedAll(this.executor, this.inputs, pause);
      this.at = 0;
    }
    for (; this.at < index; this.at++) {
      // Each sublayer runs once, so its session isn't needed again.
      const step = this.executor.model.sublayer(this.at);
      this.states = await this.executor.through(step, this.states, pause);
    }
    return this.states;
  }

  /** Residual stream before sublayer `index`, which isn't the first: [1, sequence, hidden] each. */
  public async targets(index: number, pause: Pause): Promise<readonly Tensor[]> {
    const after = streamAfter(this.executor.model, index - 1);
    const states = await this.before(index, pause);
    return states.map(({ values }) => values[after] ?? lost(after));
  }
}

/** State of each input before the first sublayer. */
export async function embedAll(
  executor: LayeredExecutor,
  inputs: readonly ModelInput[],
  pause: Pause,
): Promise<HiddenState[]> {
  const states: HiddenState[] = [];
  for (const input of inputs) {
    states.push(await executor.embed(input));
    await pause();
  }
  return states;
}

/** Index of the teacher's sublayer that follows after the student's sublayer `index`. */
export const nextTeacherIndex = (
  { places, teacher }: Pick<RepairSetup, 'places' | 'teacher'>,
  index: number,
): number => places[index + 1] ?? teacher.summary.sublayers.length;

/** Splits states and targets into training texts, which come first, and held-out texts. */
export function splitPair(
  inputs: readonly HiddenState[],
  targets: readonly Tensor[],
  { train }: Pick<RepairSetup, 'train'>,
): SlicePair {
  const part = (from: number, to?: number): SliceData => ({
    inputs: inputs.slice(from, to),
    targets: targets.slice(from, to),
  });
  return { train: part(0, train.length), heldOut: part(train.length) };
}

/** Runs both models in parallel, sublayer by sublayer, with the states of one boundary in memory. */
export class Walk {
  private readonly teacher: TeacherWalk;
  private readonly student: LayeredExecutor;
  private readonly inputs: readonly ModelInput[];
  private studentStates: readonly HiddenState[] = [];

  public constructor(
    private readonly setup: RepairSetup,
    private readonly pause: Pause,
  ) {
    const { student, teacher, train, heldOut, device, memoryBytes } = setup;
    this.inputs = [...train, ...heldOut];
    const executor = new LayeredExecutor(teacher, device, memoryBytes / 2);
    this.teacher = new TeacherWalk(executor, this.inputs);
    this.student = new LayeredExecutor(student, device, memoryBytes / 2);
  }

  public async start(): Promise<void> {
    await this.teacher.before(0, this.pause);
    this.studentStates = await embedAll(this.student, this.inputs, this.pause);
  }

  /**
   * States of the student before its sublayer `index`, and of the teacher before the student's next sublayer: the
   * student also learns the teacher's sublayers in between that it lacks.
   */
  public async slice(index: number): Promise<SlicePair> {
    const targets = await this.teacher.targets(nextTeacherIndex(this.setup, index), this.pause);
    return splitPair(this.studentStates, targets, this.setup);
  }

  /** Runs the student through sublayer `index` with the weights of `model`. */
  public async advance(index: number, model: LayeredModel): Promise<void> {
    const step = model.sublayer(index);
    this.studentStates = await this.student.through(step, this.studentStates, this.pause);
  }

  /**
   * Runs both through all sublayers, the student with the weights of `model`; returns the distance of their outputs.
   */
  public async whole(model: LayeredModel, onSublayer: (index: number) => void): Promise<number> {
    await this.start();
    for (const index of this.setup.student.summary.sublayers.keys()) {
      onSublayer(index);
      await this.slice(index);
      await this.advance(index, model);
    }
    return this.loss();
  }

  /** Distance of the outputs on held-out text, after both models' last sublayers. */
  public async loss(): Promise<number> {
    const { train, teacher } = this.setup;
    const { executor } = this.teacher;
    const states = await this.teacher.before(teacher.summary.sublayers.length, this.pause);
    const pairs = states.slice(train.length).flatMap((state, i) => {
      const [input, student] = [
        this.inputs[train.length + i],
        this.studentStates[train.length + i],
      ];
      return input === undefined || student === undefined
        ? []
        : [{ input, teacher: state, student }];
    });
    return outputDistance(executor, this.student, pairs, this.pause);
  }

  public async dispose(): Promise<void> {
    await this.teacher.executor.dispose();
    await this.student.dispose();
  }
}

function lost(name: string): never {
  throw new Error(`the state has no value named ${name}`);
}

/** Unit of the distance between outputs: nats per token for logits, otherwise ‖ŷ − y‖² / ‖y‖². */
export type LossUnit = 'nats' | 'relative-squares';

export function lossUnit({ output }: LayeredModel): LossUnit {
  return output.givesScores ? 'nats' : 'relative-squares';
}

/** Final states of both models for one input. */
interface FinalStates {
  readonly input: ModelInput;
  readonly teacher: HiddenState;
  readonly student: HiddenState;
}

/**
 * KL(p‖q) in nats per token between the outputs of two models with their own heads, in chunks of rows that fit in
 * memory; for outputs that aren't logits, the mean over examples of ‖ŷ − y‖² / ‖y‖².
 */
async function outputDistance(
  teacher: LayeredExecutor,
  student: LayeredExecutor,
  states: readonly FinalStates[],
  afterRun: () => Promise<void>,
): Promise<number> {
  const readout = createReadout(student, 'kl', metrics.kl, { original: teacher });
  const hasLogits = lossUnit(teacher.model) === 'nats';
  let [sum, count] = [0, 0];
  for (const pair of states) {
    if (hasLogits) {
      const [terms = new Float32Array()] = await readout.rowTerms(
        ...([pair.input, pair.teacher, [pair.student], undefined, afterRun] as const),
      );
      sum += terms.reduce((total, term) => total + term, 0);
      count += terms.length;
    } else {
      const original = await teacher.output(pair.teacher);
      const candidate = await student.output(pair.student);
      sum += relativeSquares(floatsIn(candidate), floatsIn(original));
      count++;
      await afterRun();
    }
  }
  return sum / Math.max(1, count);
}
