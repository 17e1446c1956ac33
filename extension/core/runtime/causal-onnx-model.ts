import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { RunnableGraph } from '../models/layered-model';
import type { DeviceName } from './device';
import { createSession } from './session';
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
    const outputs = await this.session.run({
      input_ids: integers(step.inputIds),
      attention_mask: integers(step.attentionMask),
      position_ids: integers(step.positionIds),
      ...cache,
    });
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

function integers(rows: readonly (readonly number[])[]): Tensor {
  const values = rows.flat();
  return int64Tensor(values, [rows.length, values.length / rows.length]);
}
