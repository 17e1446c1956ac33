import * as v from 'valibot';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { TaskJob } from '../../jobs/child-task';
import { checkpoint } from '../../jobs/job';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { stream } from '../../models/model-emitter';
import { kernelProbe } from '../../distribute/work-item';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import { repairSlice } from './repair-slice';
import { sublayerEncodings } from './trained-forms';
import { trainedTensors } from './trainable-encoding';
import { embedAll, splitPair, nextTeacherIndex, TeacherWalk } from './walk';
import type { Pause, RepairSetup } from './walk';

/** Request to train a sublayer on the teacher's states. */
export const sliceRequestSchema = v.object({
  /** Index of the student's sublayer. */
  sublayer: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
export type SliceRequest = v.InferOutput<typeof sliceRequestSchema>;

/** Result, see {@link RepairedSlice}. */
export interface SliceResult {
  /** Null if no values were better. */
  readonly numbers: Readonly<Record<string, Float32Array>> | null;
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly epochs: number;
  readonly diverged: boolean;
}

const trainedIn = (forms: ReadonlyMap<string, MatrixEncoding>) =>
  [...forms.values()].flatMap(trainedTensors);

/** Schema of the result for a sublayer with these encodings; checks the size of each tensor. */
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

/** Maximum size in bytes of the result of such a sublayer. */
export const resultBytes = (forms: ReadonlyMap<string, MatrixEncoding>): number =>
  trainedIn(forms).reduce((sum, { shape }) => sum + elementCount(shape), 0) *
  Float32Array.BYTES_PER_ELEMENT;

/** Trains sublayers on the teacher's states, so that they are independent; keeps the states for the next sublayer. */
export class SliceWork {
  private readonly teacher: TeacherWalk;
  private readonly student: LayeredExecutor;
  /** States before the student's first sublayer. */
  private embedded: readonly HiddenState[] | undefined;

  /** @param threads of each session; one per core by default */
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
    const forms = sublayerEncodings(student, sublayer, setup.forms);
    if (forms.size === 0) {
      throw new Error(`nothing of sublayer ${sublayer} is trained`);
    }
    const pause: Pause = async () => checkpoint(cancellation);
    const states = await this.statesBefore(sublayer, pause);
    const targets = await this.teacher.targets(nextTeacherIndex(setup, sublayer), pause);
    const slice = splitPair(states, targets, setup);
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

  /** The teacher's states under the student's names, except at the student's first sublayer. */
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
        // A block without attention starts at the residual stream.
        const value = values[name] ?? values[stream];
        return value === undefined ? [] : [[name, value] as const];
      });
      // Models of other kinds have one name per value.
      const named = own === undefined ? values : Object.fromEntries(own);
      return side === undefined ? [] : [{ values: named, side }];
    });
  }
}
