import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { formTensors } from '../forms/form-facts';
import type { Linear } from '../parts/linear';
import type { MatrixEncoding } from '../matrix-encoding';
import type { Norm } from '../parts/norm';

/** What belongs to the single experts of a mixture, by expert. */
export interface ExpertTensors {
  /** Of the router: every expert has a row of each. */
  readonly byRow: readonly LazyTensor[];
  readonly experts: readonly (readonly LazyTensor[])[];
}

/** Weight and bias of a norm or a linear layer, as far as there are any; where the weight has another form, that form's tensors. */
export function partTensors(part: Norm | Linear | undefined): LazyTensor[] {
  const form = formOf(part);
  return form === undefined ? storedTensors(part) : [...formTensors(form), ...storedTensors(part)];
}

/** The same without the tensors of forms. */
export function storedTensors(part: Norm | Linear | undefined): LazyTensor[] {
  const weight = formOf(part) === undefined ? part?.weight : undefined;
  const byHead = part !== undefined && 'byHead' in part ? (part.byHead ?? []) : [];
  return [weight, part?.bias, ...byHead].filter((tensor) => tensor !== undefined);
}

function formOf(part: Norm | Linear | undefined): MatrixEncoding | undefined {
  return part !== undefined && 'form' in part ? part.form : undefined;
}
