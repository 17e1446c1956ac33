import type { ModelInput } from '../../models/model-input';
import { ggufTarget } from '../../models/gguf/gguf-target';
import { readArchitecture } from '../../models/open-model';
import type { OpenedModel } from '../../models/opened-model';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { DeviceName } from '../../runtime/device';
import { floatsIn } from '../../runtime/tensors';
import type { HiddenState } from '../../runtime/tensors';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { UserError } from '../../user-error';
import type { InputSums } from './importance';
import { say } from '../../message';

/** Σ x² of each input of a matrix, added up in float64 run by run. */
class Sums {
  private readonly sums: Float64Array;
  private count = 0;

  public constructor(private readonly size: number) {
    this.sums = new Float64Array(size);
  }

  public add(rows: Float32Array): void {
    const { size, sums } = this;
    for (let start = 0; start < rows.length; start += size) {
      for (let i = 0; i < size; i++) {
        sums[i] = (sums[i] ?? 0) + (rows[start + i] ?? 0) ** 2;
      }
    }
    this.count += rows.length / size;
  }

  public finish(): InputSums {
    return { sums: Float32Array.from(this.sums), count: this.count };
  }
}

/** What inputs are taken through a model with. */
export interface SummingOptions {
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/**
 * Σ x² of what goes into the linear layers of a model's blocks, by their names in GGUF files.
 * @throws UserError for a model whose tensors have no such names, CancelledError.
 */
export async function inputSums(
  opened: OpenedModel,
  inputs: readonly ModelInput[],
  options: SummingOptions,
  context: JobContext,
): Promise<ReadonlyMap<string, InputSums>> {
  const nameOf = ggufNamesOf(opened);
  const executor = new LayeredExecutor(opened.model, options.device, options.memoryBytes);
  const { sublayers } = opened.summary;
  const found = new Map<string, InputSums>();
  const afterRun = async (): Promise<void> => checkpoint(context.cancellation);
  try {
    let states: HiddenState[] = [];
    for (const input of inputs) {
      states.push(await executor.embed(input));
      await afterRun();
    }
    for (const index of sublayers.keys()) {
      context.progress({
        stage: say`Reading inputs of linear layers`,
        done: index,
        total: sublayers.length,
        unit: 'steps',
      });
      const sums = new Map<string, Sums>();
      await executor.tap(
        opened.model.tapped(index),
        states,
        (taps) => {
          for (const [id, tensor] of taps) {
            const known = sums.get(id) ?? new Sums(tensor.dims.at(-1) ?? 1);
            sums.set(id, known);
            known.add(floatsIn(tensor));
          }
          return Promise.resolve();
        },
        afterRun,
      );
      for (const [id, sum] of sums) {
        const name = nameOf(id);
        if (name !== undefined) {
          found.set(name, sum.finish());
        }
      }
      states = await executor.pass(index, states, new Set(), afterRun);
    }
    return found;
  } finally {
    await executor.dispose();
  }
}

/** Gives a layer's name in GGUF files, which one expert's has not. */
function ggufNamesOf({ headers, path, summary }: OpenedModel): (id: string) => string | undefined {
  if (headers.format === 'gguf') {
    return (id) => id;
  }
  const read =
    headers.format === 'safetensors'
      ? readArchitecture(headers.configText, headers.configFile)
      : undefined;
  const target = read && ggufTarget(read.architecture, read.config);
  if (target === undefined) {
    throw new UserError(
      say`Layers of ${summary.architecture} models have no names in GGUF files.`,
      {
        file: path,
        remedy: say`Importance matrices are for models that can be written to GGUF files.`,
      },
    );
  }
  return (id) => target.nameOf(id);
}
