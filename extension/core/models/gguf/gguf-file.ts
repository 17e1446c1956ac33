import type { GgufHeader } from '../../checkpoints/gguf';
import { UserError } from '../../user-error';
import { findGgufFamily } from './gguf-families';
import { GgufKeys } from './gguf-keys';
import type { GgufFamily } from './gguf-traits';
import { say } from '../../message';

/** GGUF file with a supported architecture. */
export interface GgufFile {
  readonly header: GgufHeader;
  readonly keys: GgufKeys;
  /** Conversion of the family to GGUF. */
  readonly conversion: GgufFamily;
}

/** The only lookup of a family by a GGUF header; undefined if none is known. */
export function findGgufFile(header: GgufHeader, path: string): GgufFile | undefined {
  if (!header.metadata.has('general.architecture')) {
    return undefined;
  }
  const keys = new GgufKeys(header, path);
  const conversion = findGgufFamily(keys);
  return conversion && { header, keys, conversion };
}

/** @throws UserError if the family is not known. */
export function requireGgufFile(header: GgufHeader, path: string): GgufFile {
  return findGgufFile(header, path) ?? refuseArchitecture(new GgufKeys(header, path), path);
}

/** @throws UserError: the architecture of the file is not supported. */
export function refuseArchitecture({ architecture }: GgufKeys, path: string): never {
  throw new UserError(
    'architecture-not-in-gguf',
    say`Architecture "${architecture}" is not supported in GGUF files.`,
    {
      file: path,
      field: 'general.architecture',
      remedy: say`Open the model's Hugging Face folder, if its family is supported. The page Models of the documentation lists all.`,
    },
  );
}
