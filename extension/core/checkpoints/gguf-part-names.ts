const partName = /-(\d{5})-of-(\d{5})\.gguf$/i;

/** Names of all parts of a split model, if the name is one part, such as `NAME-00001-of-00003.gguf`. */
export function listParts(name: string): readonly string[] | undefined {
  const [ending = '', , last = ''] = partName.exec(name) ?? [];
  const count = Number(last);
  return count < 1
    ? undefined
    : Array.from(
        { length: count },
        (_, i) =>
          `${name.slice(0, -ending.length)}-${String(i + 1).padStart(5, '0')}-of-${last}.gguf`,
      );
}

/** The name of a model in one file, without the number of its part. */
export const withoutPart = (name: string): string => name.replace(partName, '.gguf');

/** Suffix of file names: types and mixes of llama.cpp and of other programs. */
const typeName = /[-._](?:I?Q\d\w*|TQ\d\w*|B?F16|F32|MXFP4\w*)$/i;

/**
 * File name after a change of the type mix. The new mix replaces an old one in the name: `x-F16.gguf` with Q4_0 becomes
 * `x-Q4_0.gguf`.
 */
export function nameWithType(name: string, type: string | undefined): string {
  const stem = name.replace(/\.gguf$/i, '');
  return type === undefined ? `${stem}.gguf` : `${stem.replace(typeName, '')}-${type}.gguf`;
}
