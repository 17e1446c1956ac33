import type { Changes } from '../export/changes';
import { changedGraph } from '../export/onnx/graph-writer';
import { say } from '../message';
import type { Message } from '../message';
import { switchedOff } from '../models/example';
import type { Example } from '../models/model-input';
import { cachePortOf } from '../models/onnx/stream/cache-ports';
import type { CachePort } from '../models/onnx/stream/cache-ports';
import type { OnnxLayeredModel } from '../models/onnx/onnx-layered-model';
import { CausalOnnxModel, stepInputs } from '../runtime/causal-onnx-model';
import type { DecoderOptions } from './decoder';

/** ONNX graph with a KV cache, and the values of its other inputs for the first and later tokens. */
export interface OwnGraph {
  readonly model: CausalOnnxModel;
  readonly first: Example;
  readonly later: Example;
  /**
   * True if tokens after the first must be read one at a time, because exporters trace the cached branch with one
   * token.
   */
  readonly readsSingly?: boolean;
}

/** Opens another exporter's graph with the requested changes, or returns the reason why its KV cache can't be used. */
export async function openOwnGraph(
  model: OnnxLayeredModel,
  changes: Changes,
  options: Pick<DecoderOptions, 'device' | 'spin'>,
): Promise<OwnGraph | Message> {
  const { inputs, outputs } = model.source.summary;
  if (changes.remainingExperts.size > 0) {
    // The remaining weights of an expert tensor are not contiguous, so a session can't map them.
    return say`single experts are left out.`;
  }
  const modes = [model, ...model.otherModes];
  const first = modes.find(({ isCached }) => !isCached)?.settings;
  const cached = modes.find(({ isCached }) => isCached)?.settings;
  if (model.source.place !== undefined && cached === undefined) {
    return say`none of its branches uses a key/value cache.`;
  }
  const [start, later] = [first ?? {}, cached ?? first ?? {}];
  const ports: CachePort[] = [];
  const constants: Record<string, Example[string]> = {};
  const given = new Set(outputs.map(({ name }) => name));
  for (const port of inputs) {
    const { name, dtype, shape } = port;
    const isStep = stepInputs.some((one) => one === name);
    if (isStep && /^I(?:32|64)$/.test(dtype) && shape?.length === 2) {
      continue;
    }
    const cache = cachePortOf(port);
    const off = switchedOff(port);
    const open = cache?.sizes.filter((size) => size === 'positions').length ?? 0;
    if (cache !== undefined && given.has(cache.present) && open <= 1) {
      ports.push(cache);
    } else if (off !== undefined && start[name] === undefined) {
      constants[name] = off;
    } else if (start[name] === undefined) {
      return say`its input ${name} isn't a supported key/value cache.`;
    }
  }
  if (ports.length === 0 || !given.has('logits')) {
    return say`the graph has no key/value cache.`;
  }
  return {
    model: await CausalOnnxModel.build(await changedGraph(model, changes), options, ports),
    first: { ...constants, ...start },
    later: { ...constants, ...later },
    readsSingly: cached !== undefined,
  };
}
