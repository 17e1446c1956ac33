import { parseDecoder, parseFamily, requireFamily } from '../../extension/core/models/model-family';
import type {
  DecoderFamily,
  NamedFamily,
  ParsedFamily,
} from '../../extension/core/models/model-family';

/** A config.json and the architecture that it names. */
export const namedSource = (
  configText: string,
): { readonly family: NamedFamily; readonly configText: string } => ({
  family: requireFamily(configText, 'config.json'),
  configText,
});

/** The same, with the parsed config. */
export const parsedSource = (
  configText: string,
): { readonly family: ParsedFamily; readonly configText: string } => ({
  family: parseFamily(requireFamily(configText, 'config.json'), configText, 'config.json'),
  configText,
});

/** The decoder of a config.json. */
export function decoderIn(configText: string, file: string): DecoderFamily {
  const named = requireFamily(configText, file);
  if (named.kind !== 'decoder') {
    throw new Error(`${file} is of no decoder`);
  }
  return parseDecoder(named.architecture, configText, file);
}
