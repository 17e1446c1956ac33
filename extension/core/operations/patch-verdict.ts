import { say } from '../message';
import type { Message } from '../message';
import type { PatchResult } from '../pipelines/patching/patch-model';
import type { PatchKind } from '../symbolic/patch/contestants';

/** Name of something that replaces a sublayer. */
export function patchKindName(kind: PatchKind): Message {
  switch (kind) {
    case 'graph':
      return say`Graph module`;
    case 'skip':
      return say`Nothing (skip)`;
    case 'ridge':
      return say`Linear map (ridge)`;
    case 'low-rank':
      return say`Low-rank adapter`;
    case 'mlp':
      return say`Bottleneck MLP`;
    case 'random-graph':
      return say`Random graph`;
  }
}

/** Verdict on a patch: better than all simpler replacements, or the one that is better. */
export function patchVerdict({
  accepted,
  standings,
}: Pick<PatchResult, 'accepted' | 'standings'>): Message {
  const own = standings.find(({ kind }) => kind === 'graph');
  const [best] = [...standings].sort((a, b) => a.loss - b.loss);
  const skip = standings.find(({ kind }) => kind === 'skip');
  const loss = own?.loss.toPrecision(3) ?? '';
  if (accepted) {
    return say`The patch is accepted: its distance of ${loss} is below those of everything simpler. Without a replacement it is ${skip?.loss.toPrecision(3) ?? ''}.`;
  }
  return say`The patch is not accepted: something simpler does as well or better (${patchKindName(best?.kind ?? 'skip')}: distance ${best?.loss.toPrecision(3) ?? ''}, the patch: ${loss}).`;
}
