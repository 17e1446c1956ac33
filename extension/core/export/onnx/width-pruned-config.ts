import { listed, say } from '../../message';
import type { Message } from '../../message';
import type { LayeredModel } from '../../models/layered-model';
import type { ModelSummary, SublayerKind } from '../../models/model-summary';
import type { WidthPrunedFrom } from '../../models/opened-model';
import { setField } from '../../parse-json';

/** Names of the number of blocks in families. */
const blockFields = ['num_hidden_layers', 'n_layer', 'num_layers', 'n_layers'];
/** Lists with an entry for each block. */
const blockLists = ['layer_types', 'mlp_layer_types'];
/** Names of the MLP's intermediate size by family. */
const sizeFields = ['intermediate_size', 'n_inner', 'ffn_dim', 'd_ff', 'ffn_hidden_size'];

type Fields = Readonly<Record<string, unknown>>;

/** config.json of a changed graph, and the changes it can't express. */
export interface WidthPrunedConfig {
  readonly text: string;
  readonly problem: Message | undefined;
}

/** Sets the number of blocks with a remaining sublayer, if `text` had the original number. */
export function shorterConfig(
  text: string,
  { blocks, sublayers }: Pick<ModelSummary, 'blocks' | 'sublayers'>,
  removed: ReadonlySet<string>,
): string {
  const fields = JSON.parse(text) as Fields;
  const isKept = (block: number): boolean => {
    const own = sublayers.filter((one) => one.block === block);
    return own.length === 0 || own.some(({ id }) => !removed.has(id));
  };
  const remaining = Array.from({ length: blocks }, (_, block) => block).filter(isKept);
  const field = blockFields.find((name) => fields[name] === blocks);
  if (remaining.length === blocks || field === undefined) {
    return text;
  }
  const lists = blockLists.flatMap((name): [string, unknown[]][] => {
    const list = fields[name];
    return Array.isArray(list) && list.length === blocks
      ? [[name, remaining.map((block): unknown => list[block])]]
      : [];
  });
  return lists.reduce(
    (edited, [name, list]) => setField(edited, [name], list),
    setField(text, [field], remaining.length),
  );
}

/**
 * Sets the new widths if all remaining sublayers of a kind agree and `text` had the old widths, because config.json has
 * one value for all blocks.
 */
export function widthPrunedConfig(
  text: string,
  { original: { model }, widths }: WidthPrunedFrom,
  removed: ReadonlySet<string>,
): WidthPrunedConfig {
  const fields = JSON.parse(text) as Fields;
  const kinds = [...new Set(Object.keys(widths).map((id) => sublayerKind(model, id)))];
  const unsaid: Message[] = [];
  let edited = text;
  for (const kind of kinds) {
    const changes = changedFields(kind, fields, model, widths, removed);
    for (const [field, value] of changes ?? []) {
      edited = setField(edited, [field], value);
    }
    if (changes === undefined) {
      unsaid.push(kind === 'attention' ? say`attention layers` : say`MLPs`);
    }
  }
  const [first, ...others] = unsaid;
  return {
    text: edited,
    problem:
      first &&
      say`config.json keeps the original widths of ${listed([first, ...others])}, because it has no fields for the new ones. espalier.json lists them.`,
  };
}

function sublayerKind(model: LayeredModel, id: string): SublayerKind | undefined {
  return model.summary.sublayers.find((one) => one.id === id)?.kind;
}

/** Changed fields of config.json; undefined if it can't express them. */
function changedFields(
  kind: SublayerKind | undefined,
  fields: Fields,
  model: LayeredModel,
  widths: WidthPrunedFrom['widths'],
  removed: ReadonlySet<string>,
): readonly (readonly [string, number])[] | undefined {
  const all = model.summary.sublayers.flatMap(({ id, kind: own }, index) => {
    const before = own === kind ? model.sublayer(index).width?.count : undefined;
    return own === kind && !removed.has(id) ? [{ before, after: widths[id] ?? before }] : [];
  });
  const [{ before, after } = { before: undefined, after: undefined }] = all;
  const isOne = all.every((one) => one.before === before && one.after === after);
  if (!isOne || before === undefined || after === undefined) {
    return undefined;
  }
  if (kind !== 'attention') {
    const field = sizeFields.find((name) => fields[name] === before);
    return field === undefined ? undefined : [[field, after]];
  }
  const { num_attention_heads: heads, num_key_value_heads: groups, hidden_size: size } = fields;
  const head = fields['head_dim'] ?? Number(size) / Number(heads);
  // Families without a key/value head count derive the head dimension from the hidden size.
  return groups === before && typeof heads === 'number' && typeof head === 'number'
    ? [
        ['num_attention_heads', (heads / before) * after],
        ['num_key_value_heads', after],
        ['head_dim', head],
      ]
    : undefined;
}
