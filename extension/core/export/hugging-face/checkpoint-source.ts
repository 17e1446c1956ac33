import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { ParsedFamily } from '../../models/model-family';
import type { AnyModel } from '../../models/opened-model';

/** A model in safetensors, with everything needed to write it again. */
export interface CheckpointSource {
  readonly model: AnyModel;
  readonly family: ParsedFamily;
  readonly checkpoint: Checkpoint;
  /** Text of config.json. */
  readonly configText: string;
}
