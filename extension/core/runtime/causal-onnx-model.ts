import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { RunnableGraph } from '../models/layered-model';
import type { DeviceName } from './device';
import { createSession, providersOf, watchedOn, wholeSums } from './session';
import { floatsOf, int64Tensor, tensorOf } from './tensors';

/** Inputs of one step, row by row; all rows have equal length. */
export interface CausalStep {
  readonly inputIds: readonly (readonly number[])[];
  /** 1 for tokens that may be attended, those in the cache first. */
  readonly attentionMask: readonly (readonly number[])[];
  readonly positionIds: readonly (readonly number[])[];
}

/** Keys and values by the input that takes them, [batch, numKeyValueHeads, past, headDim]. */
export type CausalCache = Readonly<Record<string, Tensor>>;

/** A cache of the first positions alone; as it is where it has no more. */
export function firstPositions(cache: CausalCache, length: number): CausalCache {
  return Object.fromEntries(
    Object.entries(cache).map(([name, tensor]) => {
      const [batch = 0, heads = 0, past = 0, dimensions = 0] = tensor.dims;
      if (past <= length || !(tensor.data instanceof Float32Array)) {
        return [name, tensor];
      }
      const kept = new Float32Array(batch * heads * length * dimensions);
      for (let row = 0; row < batch * heads; row++) {
        const from = row * past * dimensions;
        kept.set(tensor.data.subarray(from, from + length * dimensions), row * length * dimensions);
      }
      return [name, new Tensor('float32', kept, [batch, heads, length, dimensions])];
    }),
  );
}

/** A decoder in one ONNX file with optimum's input and output names, run with its key/value cache. */
export class CausalOnnxModel {
  private constructor(private readonly session: InferenceSession) {}

  /**
   * Opens the file on the CPU. The graph is run as it stands and weights are mapped from their file,
   * so that little more memory is needed than the largest weight takes as float32.
   */
  public static async open(file: string): Promise<CausalOnnxModel> {
    return new CausalOnnxModel(
      await InferenceSession.create(file, {
        executionProviders: ['cpu'],
        graphOptimizationLevel: 'disabled',
        logSeverityLevel: 3,
        extra: { session: { disable_prepacking: '1', 'intra_op.allow_spinning': '0' } },
      }),
    );
  }

  /**
   * Opens a file of another exporter, to run as fast as may be; undefined where it takes other inputs than these, or
   * keys and values in another type than float32.
   */
  public static async ofFile(
    file: string,
    device: DeviceName,
  ): Promise<CausalOnnxModel | undefined> {
    const session = await watchedOn(device, async () =>
      InferenceSession.create(file, {
        executionProviders: providersOf(device),
        logSeverityLevel: 3,
        extra: { session: { ...wholeSums, 'intra_op.allow_spinning': '0' } },
      }),
    );
    if (hasKnownPorts(session)) {
      return new CausalOnnxModel(session);
    }
    await session.release();
    return undefined;
  }

  /** Runs a graph that is not in a file, its weights in the model's own files. */
  public static async build(graph: RunnableGraph, device: DeviceName): Promise<CausalOnnxModel> {
    return new CausalOnnxModel(await createSession(graph, { device, prepack: true, spin: true }));
  }

  /** As {@link open}, of a graph that is not in a file. */
  public static async asItStands(graph: RunnableGraph): Promise<CausalOnnxModel> {
    return new CausalOnnxModel(
      await createSession(graph, { device: 'cpu', prepack: false, asItStands: true }),
    );
  }

  /** A cache without any position, for `batch` rows. */
  public emptyCache(batch: number): CausalCache {
    const cache: Record<string, Tensor> = {};
    for (const input of this.session.inputMetadata) {
      if (input.isTensor && input.name.startsWith('past_key_values.')) {
        const [, heads, , dimensions] = input.shape;
        cache[input.name] = new Tensor('float32', new Float32Array(0), [
          batch,
          Number(heads),
          0,
          Number(dimensions),
        ]);
      }
    }
    return cache;
  }

  /** Logits [batch, sequence, vocabulary] of a step, and the cache with the step in it. */
  public async run(
    step: CausalStep,
    cache: CausalCache,
  ): Promise<{ logits: Float32Array; cache: CausalCache }> {
    const inputs = {
      input_ids: integers(step.inputIds),
      attention_mask: integers(step.attentionMask),
      position_ids: integers(step.positionIds),
      ...cache,
    };
    const { inputNames } = this.session;
    const outputs = await this.session.run(
      Object.fromEntries(Object.entries(inputs).filter(([name]) => inputNames.includes(name))),
    );
    const next: Record<string, Tensor> = {};
    for (const name of Object.keys(cache)) {
      next[name] = tensorOf(outputs, name.replace('past_key_values.', 'present.'));
    }
    return { logits: floatsOf(outputs, 'logits'), cache: next };
  }

  public async dispose(): Promise<void> {
    await this.session.release();
  }
}

const stepInputs = ['input_ids', 'attention_mask', 'position_ids'];

/** Whether a graph takes a step and a cache as above, and gives logits and the cache with the step in it. */
function hasKnownPorts({ inputMetadata, outputNames }: InferenceSession): boolean {
  const isKnown = (port: InferenceSession.ValueMetadata): boolean => {
    if (!port.isTensor) {
      return false;
    }
    if (stepInputs.includes(port.name)) {
      return port.type === 'int64' && port.shape.length === 2;
    }
    const [, heads, , dimensions] = port.shape;
    return (
      /^past_key_values\.\d+\.(?:key|value)$/.test(port.name) &&
      port.type === 'float32' &&
      port.shape.length === 4 &&
      typeof heads === 'number' &&
      typeof dimensions === 'number' &&
      outputNames.includes(port.name.replace('past_key_values.', 'present.'))
    );
  };
  const names = inputMetadata.map(({ name }) => name);
  return (
    inputMetadata.every(isKnown) &&
    names.includes('input_ids') &&
    names.some((name) => name.startsWith('past_key_values.')) &&
    outputNames.includes('logits')
  );
}

function integers(rows: readonly (readonly number[])[]): Tensor {
  const values = rows.flat();
  return int64Tensor(values, [rows.length, values.length / rows.length]);
}
