import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { emptyCache } from '../models/example';
import type { RunnableGraph } from '../models/layered-model';
import type { Example } from '../models/model-input';
import { parseCachePort } from '../models/onnx/stream/cache-ports';
import type { CachePort } from '../models/onnx/stream/cache-ports';
import { createSession, maySpin, openAsItStands } from './session';
import type { SessionOptions } from './session';
import { exampleTensor, floatOutput, int32Tensor, int64Tensor, outputTensor } from './tensors';

/** Inputs of one step, row by row; all rows have equal length. */
export interface CausalStep {
  readonly inputIds: readonly (readonly number[])[];
  /** 1 for tokens to attend to, cached tokens first. */
  readonly attentionMask: readonly (readonly number[])[];
  readonly positionIds: readonly (readonly number[])[];
}

/**
 * Cached states of earlier positions by the name of the input that reads them, such as [batch,
 * numKeyValueHeads, past, headDim].
 */
export type CausalCache = Readonly<Record<string, Tensor>>;

/** Inputs of a step by their names in a graph. */
export const stepInputs = ['input_ids', 'attention_mask', 'position_ids'] as const;

/** A decoder in one ONNX graph with the inputs of a step, run with its cache. */
export class CausalOnnxModel {
  private constructor(
    private readonly session: InferenceSession,
    private readonly ports: readonly CachePort[],
  ) {}

  /** Opens the file on the CPU; see {@link openAsItStands}. */
  public static async open(file: string): Promise<CausalOnnxModel> {
    return CausalOnnxModel.of(await openAsItStands(file));
  }

  /**
   * Opens a graph in memory for maximum speed; its weights are in the model's files.
   * @param options threads follow {@link maySpin} by default
   * @param ports its caches, if the declarations contain dynamic sizes
   */
  public static async build(
    graph: RunnableGraph,
    { device, spin = maySpin() }: Pick<SessionOptions, 'device' | 'spin'>,
    ports?: readonly CachePort[],
  ): Promise<CausalOnnxModel> {
    return CausalOnnxModel.of(await createSession(graph, { device, prepack: true, spin }), ports);
  }

  /**
   * Like {@link open}, for a graph in memory. Weights are decoded by nodes, because weights computed for a session
   * would all be in memory at the same time.
   */
  public static async asItStands(graph: RunnableGraph): Promise<CausalOnnxModel> {
    const { externalData } = graph;
    return CausalOnnxModel.of(
      await createSession(
        { externalData, toBytes: (locate) => graph.toBytes(locate) },
        { device: 'cpu', prepack: false, asItStands: true },
      ),
    );
  }

  private static of(session: InferenceSession, known?: readonly CachePort[]): CausalOnnxModel {
    const { inputNames } = session;
    const ports = known?.filter(({ name }) => inputNames.includes(name));
    return new CausalOnnxModel(session, ports ?? cachePorts(session));
  }

  /** Empty cache for `batch` rows. */
  public emptyCache(batch: number): CausalCache {
    return Object.fromEntries(
      this.ports.map((port) => [port.name, exampleTensor(emptyCache(port, batch))]),
    );
  }

  /**
   * A cache truncated to the first `length` of `of` positions; undefined if it contains anything
   * else, such as the state of a recurrence.
   */
  public firstPositions(cache: CausalCache, of: number, length: number): CausalCache | undefined {
    const cut = this.ports.map(({ name, sizes }): [string, Tensor | undefined] => {
      const axis = sizes.indexOf('positions');
      const tensor = cache[name];
      return [name, tensor?.dims[axis] === of ? takeFirst(tensor, axis, length) : undefined];
    });
    return cut.every((one): one is [string, Tensor] => one[1] !== undefined)
      ? Object.fromEntries(cut)
      : undefined;
  }

  /**
   * Logits [batch, sequence, vocabulary] of a step, and the cache with the step in it.
   * @param settings values of other inputs
   */
  public async run(
    step: CausalStep,
    cache: CausalCache,
    settings: Example = {},
  ): Promise<{ logits: Float32Array; vocabularySize: number; cache: CausalCache }> {
    const inputs: Record<string, Tensor> = { ...cache };
    for (const [name, value] of Object.entries(settings)) {
      inputs[name] = exampleTensor(value);
    }
    const rows = [step.inputIds, step.attentionMask, step.positionIds];
    for (const [i, name] of stepInputs.entries()) {
      inputs[name] = this.integers(name, rows[i] ?? []);
    }
    const { inputNames } = this.session;
    const outputs = await this.session.run(
      Object.fromEntries(Object.entries(inputs).filter(([name]) => inputNames.includes(name))),
    );
    const next = this.ports.map(
      ({ name, present }) => [name, outputTensor(outputs, present)] as const,
    );
    return {
      logits: floatOutput(outputs, 'logits'),
      vocabularySize: outputTensor(outputs, 'logits').dims.at(-1) ?? 0,
      cache: Object.fromEntries(next),
    };
  }

  public async dispose(): Promise<void> {
    await this.session.release();
  }

  private integers(name: string, rows: readonly (readonly number[])[]): Tensor {
    const port = this.session.inputMetadata.find((one) => one.name === name);
    const values = rows.flat();
    const shape = [rows.length, values.length / rows.length];
    return port?.isTensor === true && port.type === 'int32'
      ? int32Tensor(values, shape)
      : int64Tensor(values, shape);
  }
}

/** Caches as a session declares them. */
function cachePorts({ inputMetadata }: InferenceSession): CachePort[] {
  return inputMetadata.flatMap((port) => {
    if (!port.isTensor) {
      return [];
    }
    const { name, type, shape } = port;
    const dtype = type === 'float32' ? 'F32' : type === 'float16' ? 'F16' : type;
    return parseCachePort({ name, dtype, shape }) ?? [];
  });
}

function takeFirst(tensor: Tensor, axis: number, length: number): Tensor {
  const { data, dims, type } = tensor;
  if (!ArrayBuffer.isView(data)) {
    throw new Error(`a cache of ${type} cannot be cut`);
  }
  const { BYTES_PER_ELEMENT: width } = data as Float32Array;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
  const inner = product(dims.slice(axis + 1)) * width;
  const [whole, part] = [(dims[axis] ?? 0) * inner, length * inner];
  const sliced = new Uint8Array(product(dims.slice(0, axis)) * part);
  for (let row = 0; row * part < sliced.length; row++) {
    sliced.set(bytes.subarray(row * whole, row * whole + part), row * part);
  }
  const numbers =
    type === 'float16' ? new Uint16Array(sliced.buffer) : new Float32Array(sliced.buffer);
  return new Tensor(type, numbers, dims.with(axis, length));
}
