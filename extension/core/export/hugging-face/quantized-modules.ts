type Json = Record<string, unknown>;

/** Modules that a quantization method is told to treat otherwise are named by block. */
export function quantization(config: Json, blocks: readonly number[]): Json {
  const fields = config['quantization_config'];
  if (typeof fields !== 'object' || fields === null) {
    return {};
  }
  return { quantization_config: withRenumbered(fields, blocks) };
}

/** A value with the modules of its lists, at whatever depth, in the new numbering. */
function withRenumbered(value: unknown, blocks: readonly number[]): unknown {
  if (Array.isArray(value)) {
    return value.flatMap((one) =>
      typeof one === 'string' ? renumbered(one, blocks) : [withRenumbered(one, blocks)],
    );
  }
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(
        Object.entries(value).map(([field, one]) => [field, withRenumbered(one, blocks)]),
      )
    : value;
}

const moduleOfBlock = /^((?:[\w.]*\.)?(?:layers|h)\.)(\d+)(\..*)?$/;

/** `model.layers.3.mlp` in the new numbering; nothing where the block is gone. */
function renumbered(name: string, blocks: readonly number[]): string[] {
  const [, before, number, after] = moduleOfBlock.exec(name) ?? [];
  if (number === undefined) {
    return [name];
  }
  const block = blocks.indexOf(Number(number));
  return block < 0 ? [] : [`${before}${block}${after ?? ''}`];
}

/** The field of `quantization_config` with rules for modules that may name blocks by number. */
export function numberedRules(fields: Json): string | undefined {
  const [field] =
    Object.entries(fields).find(([name, value]) =>
      name === 'dynamic'
        ? Object.keys(value ?? {}).some((rule) => /\d/.test(rule))
        : textsIn(value).some(
            (text) =>
              /\blayers\W+\d/.test(text.replaceAll('[0-9]', '')) && !moduleOfBlock.test(text),
          ),
    ) ?? [];
  return field;
}

function textsIn(value: unknown): string[] {
  return typeof value === 'string'
    ? [value]
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(textsIn)
      : [];
}
