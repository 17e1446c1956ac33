type Json = Record<string, unknown>;

/**
 * Renumbers the modules that a quantization method treats differently, because they are named by
 * block.
 */
export function quantization(config: Json, blocks: readonly number[]): Json {
  const fields = config['quantization_config'];
  if (typeof fields !== 'object' || fields === null) {
    return {};
  }
  return { quantization_config: withRenumbered(fields, blocks) };
}

/** The value with the module names in its lists renumbered, at any depth. */
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

const blockModule = /^((?:[\w.]*\.)?(?:layers|h)\.)(\d+)(\..*)?$/;

/** `model.layers.3.mlp` with the new block number; empty if the block is removed. */
function renumbered(name: string, blocks: readonly number[]): string[] {
  const [, before, number, after] = blockModule.exec(name) ?? [];
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
            (text) => /\blayers\W+\d/.test(text.replaceAll('[0-9]', '')) && !blockModule.test(text),
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
