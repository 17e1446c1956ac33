import * as v from 'valibot';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { stream } from '../../models/model-emitter';
import { kernelProbe } from '../../runtime/kernel-probe';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import { repairSlice } from './repair-slice';
import { formsOf } from './trained-forms';
import { trainedTensors } from './trainable-encoding';
import { embedAll, pairOf, placeBehind, TeacherWalk } from './walk';
import type { Pause, RepairSetup } from './walk';

/** A sublayer to train on the teacher's states. */
export const sliceRequestSchema = v.object({
  /** Index among the student's. */
  sublayer: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
export type SliceRequest = v.InferOutput<typeof sliceRequestSchema>;

/** What came of it, see {@link RepairedSlice}. */
export interface SliceResult {
  /** Null where none were better. */
  readonly numbers: Readonly<Record<string, Float32Array>> | null;
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly epochs: number;
  readonly diverged: boolean;
}

const trainedIn = (forms: ReadonlyMap<string, MatrixEncoding>) =>
  [...forms.values()].flatMap(trainedTensors);

/** What a sublayer with these forms gives: as many numbers as each of its tensors has. */
export function sliceResultSchema(
  forms: ReadonlyMap<string, MatrixEncoding>,
): v.GenericSchema<unknown, SliceResult> {
  const tensors = Object.fromEntries(
    trainedIn(forms).map(({ name, shape }) => [
      name,
      v.pipe(v.instance(Float32Array), v.length(elementCount(shape))),
    ]),
  );
  return v.object({
    numbers: v.nullable(v.strictObject(tensors)),
    ...{
      errorBefore: v.number(),
      errorAfter: v.number(),
      epochs: v.number(),
      diverged: v.boolean(),
    },
  });
}

/** What the result of such a sublayer takes at most. */
export const resultBytes = (forms: ReadonlyMap<string, MatrixEncoding>): number =>
  trainedIn(forms).reduce((sum, { shape }) => sum + elementCount(shape), 0) *
  Float32Array.BYTES_PER_ELEMENT;

/** Trains sublayers on the teacher's states, so that none has to wait for another; those of the next are kept. */
export class SliceWork {
  private readonly teacher: TeacherWalk;
  private readonly student: LayeredExecutor;
  /** What the student has in front of its first sublayer. */
  private embedded: readonly HiddenState[] | undefined;

  /** @param threads of each session; one for each core if absent */
  public constructor(
    private readonly setup: RepairSetup,
    private readonly threads: number | undefined,
  ) {
    const { student, teacher, train, heldOut, device, memoryBytes } = setup;
    const executor = new LayeredExecutor(teacher, device, memoryBytes / 2, { threads });
    this.teacher = new TeacherWalk(executor, [...train, ...heldOut]);
    this.student = new LayeredExecutor(student, device, memoryBytes / 2, { threads });
  }

  public async do({ sublayer }: SliceRequest, { cancellation }: TaskJob): Promise<SliceResult> {
    const { setup, threads } = this;
    const { student, settings } = setup;
    const forms = formsOf(student, sublayer, setup.forms);
    if (forms.size === 0) {
      throw new Error(`nothing of sublayer ${sublayer} is trained`);
    }
    const pause: Pause = async () => checkpoint(cancellation);
    const states = await this.statesBefore(sublayer, pause);
    const targets = await this.teacher.targets(placeBehind(setup, sublayer), pause);
    const slice = pairOf(states, targets, setup);
    const { numbers, ...errors } = await repairSlice(
      ...([student, sublayer, forms, slice, settings, cancellation] as const),
      threads,
    );
    return { numbers: numbers === undefined ? null : Object.fromEntries(numbers), ...errors };
  }

  public async probe(): Promise<readonly number[]> {
    return kernelProbe(this.teacher.executor, this.setup.train[0]);
  }

  public async dispose(): Promise<void> {
    await this.teacher.executor.dispose();
    await this.student.dispose();
  }

  /** The teacher's states by the student's names, where the student does not begin. */
  private async statesBefore(index: number, pause: Pause): Promise<readonly HiddenState[]> {
    const { places, student, train, heldOut } = this.setup;
    this.embedded ??= await embedAll(this.student, [...train, ...heldOut], pause);
    const { embedded } = this;
    if (index === 0) {
      return embedded;
    }
    const names = student.emitter?.stateNames(index);
    const states = await this.teacher.before(places[index] ?? 0, pause);
    return states.flatMap(({ values }, i) => {
      const side = embedded[i]?.side;
      const own = names?.flatMap((name) => {
        // A block whose attention is gone begins at the stream.
        const value = values[name] ?? values[stream];
        return value === undefined ? [] : [[name, value] as const];
      });
      // Models of other kinds have one name for each value.
      const named = own === undefined ? values : Object.fromEntries(own);
      return side === undefined ? [] : [{ values: named, side }];
    });
  }
}
