const partName = /-(\d{5})-of-(\d{5})\.gguf$/i;

/** Names of the parts of a model whose file is named as one of several, such as `NAME-00001-of-00003.gguf`. */
export function partsOf(name: string): readonly string[] | undefined {
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
