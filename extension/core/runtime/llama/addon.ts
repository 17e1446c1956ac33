import { createRequire } from 'node:module';
import { dirname } from 'node:path';

/** Model of node-llama-cpp's addon. */
interface AddonModel {
  init(): Promise<boolean>;
  tokenize(text: string, specialTokens: boolean): Uint32Array;
}

/** Greedy sampler without state. */
interface AddonSampler {
  applyConfig(config: { readonly temperature: number }): void;
}

interface AddonContext {
  init(): Promise<boolean>;
  initBatch(tokens: number): void;
  /** @returns indices of the logits for the positions in `logitPositions`, for {@link sampleToken} */
  addToBatch(
    sequence: number,
    firstPosition: number,
    tokens: Uint32Array,
    logitPositions: Uint32Array,
  ): Uint32Array;
  decodeBatch(): Promise<void>;
  disposeSequence(sequence: number): void;
  sampleToken(logits: number, sampler: AddonSampler): Promise<number>;
  /** @returns token, undefined, undefined, then ids and logits alternating */
  sampleToken(
    logits: number,
    sampler: AddonSampler,
    probabilities: false,
    confidence: false,
    withLogits: true,
  ): Promise<readonly [number, undefined, undefined, readonly number[] | undefined]>;
}

/** The part of node-llama-cpp's native interface that is used here: it is the same in all installed versions. */
export interface LlamaAddon {
  readonly AddonModel: new (
    path: string,
    options: {
      readonly addonExports: LlamaAddon;
      readonly gpuLayers: number;
      readonly useMmap: boolean;
    },
  ) => AddonModel;
  readonly AddonContext: new (
    model: AddonModel,
    options: {
      readonly contextSize: number;
      readonly batchSize: number;
      readonly sequences: number;
      readonly threads: number;
      readonly flashAttention: 'auto';
    },
  ) => AddonContext;
  readonly AddonSampler: new (model: AddonModel) => AddonSampler;
  setLogger(log: (level: number, text: string) => void): void;
  setLoggerLogLevel(level: number): void;
  loadBackends(folder?: string): void;
  init(): Promise<void>;
  systemInfo(): string;
  getMathCores(): number;
}

/** Level of errors in the addon's log. */
const errorLevel = 2;

/**
 * Loads the addon with its libraries for the processor. Only a child process does: a fault in it ends the process.
 * @param logError called for each line that llama.cpp logs as an error
 */
export async function loadAddon(
  path: string,
  logError: (text: string) => void,
): Promise<LlamaAddon> {
  const addon = createRequire(path)(path) as LlamaAddon;
  addon.setLogger((_, text) => {
    logError(text);
  });
  addon.setLoggerLogLevel(errorLevel);
  addon.loadBackends(dirname(path));
  await addon.init();
  return addon;
}
