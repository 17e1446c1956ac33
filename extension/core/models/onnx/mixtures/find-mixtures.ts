import type { StreamOfGraph } from '../stream/graph-stream';
import type { OnnxSublayer } from '../onnx-summary';
import { removeBranches } from '../edits/removal-nodes';
import { ValueShapes } from '../values/value-shapes';
import { findMixture } from './mixture';
import type { Mixture } from './mixture';
import { say } from '../../../message';
import type { Message } from '../../../message';

interface FoundMixtures {
  /** MoE layers by branch index. */
  readonly mixtures: ReadonlyMap<number, Mixture>;
  /** Why the experts of the others are not offered one by one. */
  readonly warnings: readonly Message[];
}

/** Finds the MoE layers of a graph with separable experts. */
export function findMixtures(
  sublayers: readonly OnnxSublayer[],
  [{ file, index, branches }, ...others]: readonly [StreamOfGraph, ...StreamOfGraph[]],
): FoundMixtures {
  const mixtures = new Map<number, Mixture>();
  const found = [...sublayers.entries()].filter(([, { kind }]) => kind === 'expert');
  if (found.length === 0) {
    return { mixtures, warnings: [] };
  }
  const graph = {
    index,
    initializers: file.initializers,
    shapes: new ValueShapes(file.graph, index),
    live: removeBranches(index, []).live,
  };
  const refused = new Map<string, string[]>();
  for (const [i, { id }] of found) {
    const branch = branches[i];
    const mixture =
      branch === undefined || others.length > 0
        ? 'the layers lie inside of an If'
        : findMixture(branch, graph);
    if (typeof mixture === 'string') {
      refused.set(mixture, [...(refused.get(mixture) ?? []), id]);
    } else {
      mixtures.set(i, mixture);
    }
  }
  const warnings = [...refused].map(
    ([reason, ids]) =>
      say`Single experts of ${ids.join(', ')} can't be removed, only the whole MoE layer: ${reason}. Prune the Hugging Face folder, then export it to ONNX.`,
  );
  return { mixtures, warnings };
}
