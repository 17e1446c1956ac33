import { UserError } from '../../user-error';
import { say } from '../../message';
import { settingType } from '../compression-choice';
import type { Compression, MethodName } from '../compression-choice';
import { allMatrices } from './sensitivity-profile';
import type {
  GgufFacts,
  MatrixSensitivity,
  SensitivityEntry,
  SensitivityProfile,
} from './sensitivity-profile';

/** GGUF type of a compression, if it has one. */
export function entryType({ method, setting }: Compression): Pick<SensitivityEntry, 'type'> {
  return method === 'gguf' ? { type: settingType(setting) } : {};
}

/**
 * True if a plan chooses among types of a GGUF file.
 * @throws UserError if it also uses other methods
 */
export function choosesTypes(methods: readonly MethodName[]): boolean {
  if (!methods.includes('gguf')) {
    return false;
  }
  if (methods.some((method) => method !== 'gguf')) {
    throw new UserError(
      'methods-conflict',
      say`A plan for a GGUF file chooses GGUF types, and no other encodings. Use gguf or other methods, not both.`,
      { field: 'methods', remedy: say`Use gguf alone, or the others without it.` },
    );
  }
  return true;
}

/**
 * The model as a GGUF file, if a plan from the profile chooses GGUF types.
 * @throws UserError like {@link choosesTypes}, and if the profile lacks the facts of the file
 */
export function findGgufFacts(table: SensitivityProfile): GgufFacts | undefined {
  const methods = allMatrices(table).flatMap(({ entries }) => entries.map(({ method }) => method));
  if (!choosesTypes(methods)) {
    return undefined;
  }
  if (table.gguf === undefined) {
    throw new UserError(
      'profile-gguf-missing',
      say`The sensitivity profile lacks the tensors of the GGUF file.`,
      { field: 'gguf', remedy: say`Profile the sensitivity again.` },
    );
  }
  return table.gguf;
}

/** Profile with the sizes of unchanged matrices as stored in the GGUF file. */
export function withFileSizes(
  table: SensitivityProfile,
  { bytes, tensors }: GgufFacts,
): SensitivityProfile {
  const stored = <Matrix extends MatrixSensitivity>(matrix: Matrix): Matrix => ({
    ...matrix,
    bytes: Object.values(tensors[matrix.tensor] ?? {}).reduce((sum, one) => sum + one, 0),
  });
  const layers = table.layers.map(stored);
  // Bytes of other tensors are counted by block.
  const sublayers = table.model.sublayers.map((sublayer) => ({
    ...sublayer,
    bytes: layers
      .filter((layer) => layer.sublayer === sublayer.id)
      .reduce((sum, layer) => sum + layer.bytes, 0),
  }));
  return {
    ...table,
    model: { ...table.model, bytes, sublayers },
    layers,
    embeddingAndHead: (table.embeddingAndHead ?? []).map(stored),
  };
}
