import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import type { ModelInput } from '../../models/model-input';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState, Tensor } from '../../runtime/tensors';
import { streamBehind } from './graph-slice';
import { outputDistance } from './output-distance';
import type { RepairSettings } from './repair-settings';
import type { SliceData, SlicePair } from './slice';

/** A model to repair, and the one that it learns from. */
export interface RepairSetup {
  readonly student: LayeredModel;
  readonly teacher: LayeredModel;
  /** Index among the teacher's sublayers of each of the student's. */
  readonly places: readonly number[];
  /** What is trained: forms of linear layers of the student, by id. */
  readonly forms: ReadonlyMap<string, MatrixEncoding>;
  readonly train: readonly ModelInput[];
  readonly heldOut: readonly ModelInput[];
  readonly settings: RepairSettings;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** Awaited after each run; may throw to stop. */
export type Pause = () => Promise<void>;

/** The teacher's states, holding those of one boundary. */
export class TeacherWalk {
  private states: readonly HiddenState[] = [];
  /** They are those before this sublayer; none at first. */
  private at = Number.POSITIVE_INFINITY;

  public constructor(
    public readonly executor: LayeredExecutor,
    private readonly inputs: readonly ModelInput[],
  ) {}

  /** The states in front of the teacher's sublayer `index`, or behind the last. To go back takes a new start. */
  public async before(index: number, pause: Pause): Promise<readonly HiddenState[]> {
    if (index < this.at) {
      this.states = await embedAll(this.executor, this.inputs, pause);
      this.at = 0;
    }
    for (; this.at < index; this.at++) {
      // Each sublayer runs once: its session is of no use later.
      const step = this.executor.model.sublayer(this.at);
      this.states = await this.executor.through(step, this.states, pause);
    }
    return this.states;
  }

  /** The stream in front of sublayer `index`, which is not the first: [1, sequence, hidden] each. */
  public async targets(index: number, pause: Pause): Promise<readonly Tensor[]> {
    const after = streamBehind(this.executor.model, index - 1);
    const states = await this.before(index, pause);
    return states.map(({ values }) => values[after] ?? lost(after));
  }
}

/** The state of each input in front of the first sublayer. */
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

/** The teacher's sublayer that follows where the student has passed its sublayer `index`. */
export const placeBehind = (
  { places, teacher }: Pick<RepairSetup, 'places' | 'teacher'>,
  index: number,
): number => places[index + 1] ?? teacher.summary.sublayers.length;

/** States and targets of the texts that are trained on, which come first, and of those held out. */
export function pairOf(
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

/** Runs both models side by side, sublayer by sublayer, holding the states of one boundary. */
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
   * What the student has before its sublayer `index`, and what the teacher has before the student's next
   * one: sublayers between them that only the teacher has are to be learned too.
   */
  public async slice(index: number): Promise<SlicePair> {
    const targets = await this.teacher.targets(placeBehind(this.setup, index), this.pause);
    return pairOf(this.studentStates, targets, this.setup);
  }

  /** Takes the student behind sublayer `index`, by the weights that `model` has for it. */
  public async advance(index: number, model: LayeredModel): Promise<void> {
    const step = model.sublayer(index);
    this.studentStates = await this.student.through(step, this.studentStates, this.pause);
  }

  /** Takes both through all sublayers, the student by the weights of `model`: the distance of their outputs. */
  public async whole(model: LayeredModel, onSublayer: (index: number) => void): Promise<number> {
    await this.start();
    for (const index of this.setup.student.summary.sublayers.keys()) {
      onSublayer(index);
      await this.slice(index);
      await this.advance(index, model);
    }
    return this.loss();
  }

  /** At the end of both: the distance of their outputs on held-out text. */
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
