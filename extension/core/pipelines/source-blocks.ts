import type { OpenModel } from '../models/model-cache';
import type { BlockNumbers } from '../models/units';
import { readManifest } from './manifest-file';
import type { Manifest } from './manifest-file';

/** One step of a model's derivation from its source, from a manifest. */
interface Step {
  readonly removed: readonly string[];
  readonly sourceBlocks: readonly number[];
}

/**
 * Steps from the model with a fingerprint to the model of a manifest, earliest first; undefined if there is no such
 * path.
 */
export function stepsFrom(fingerprint: string, manifest: Manifest | undefined): Step[] | undefined {
  if (manifest === undefined) {
    return undefined;
  }
  const { source, removed, result } = manifest;
  const step = { removed, sourceBlocks: result.sourceBlocks };
  if (source.fingerprint === fingerprint) {
    return [step];
  }
  const earlier = stepsFrom(fingerprint, source.manifest);
  return earlier === undefined ? undefined : [...earlier, step];
}

/**
 * Block numbers in the model with a fingerprint that Espalier made this model from, in one or more steps; undefined if
 * the manifest doesn't lead to it.
 */
export async function blocksInSource(
  path: string,
  fingerprint: string,
): Promise<BlockNumbers | undefined> {
  return stepsFrom(fingerprint, await readManifest(path))?.reduce<BlockNumbers>(
    (before, { sourceBlocks }) => sourceBlocks.map((block) => before[block] ?? block),
    [],
  );
}

/** Common block numbers of two models if one was made from the other. */
export async function commonBlocks(
  model: string,
  against: string,
  open: OpenModel,
): Promise<{ readonly model?: BlockNumbers; readonly against?: BlockNumbers }> {
  const [own, other] = await Promise.all([
    readFingerprint(model, open),
    readFingerprint(against, open),
  ]);
  const [inOther, inOwn] = await Promise.all([
    other === undefined ? undefined : blocksInSource(model, other),
    own === undefined ? undefined : blocksInSource(against, own),
  ]);
  return {
    ...(inOther === undefined ? {} : { model: inOther }),
    ...(inOwn === undefined ? {} : { against: inOwn }),
  };
}

/** Undefined for a model that can only be inspected. */
async function readFingerprint(path: string, open: OpenModel): Promise<string | undefined> {
  try {
    return (await open(path)).summary.fingerprint;
  } catch {
    return undefined;
  }
}
