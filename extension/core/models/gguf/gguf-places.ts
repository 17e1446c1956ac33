import { elementCount, tensorPart, sliceRows } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { projectionNames } from '../transformer/architecture';
import type { ExpertNames, EmbeddingAndHeadNames, Projection } from '../transformer/architecture';
import { readRotary } from '../parts/rotary';
import type { ModelConfig } from '../transformer/model-config';
import { curveWeights, allRows, asMatrix, columnsAsRows } from './gguf-rows';
import type { Rows, RowsOfTensor } from './gguf-rows';
import { blockRoles, embeddingAndHeadRoles, expertRoles, roleName } from './gguf-roles';
import type { RoleKind, Roles } from './gguf-roles';
import { placeMixer } from './mixer-places';
import { hasExperts, partAndKind, placeModule, placeNorm, placeTensor } from './tensor-placement';
import type { BothNames, Piece, Place, Places } from './tensor-placement';

/** Location in the file of each tensor of a block. */
export function placesInBlock(names: BothNames): Places {
  const places: Places = new Map();
  placeRoles(places, names, blockRoles);
  placeQueryKeyValue(places, names);
  placeLatent(places, names);
  placeGateUp(places, names, names.known.feedforward.gateUp, names.own.feedforward.gateUp);
  placeCurve(places, names);
  placeExperts(places, names);
  placeMixer(places, names);
  const [scale, scaleInFile] = [names.known, names.own].map(({ end }) =>
    end?.scale?.(names.config),
  );
  if (scale !== undefined && scaleInFile !== undefined) {
    placeTensor(places, scale, scaleInFile);
  }
  return places;
}

/** Location in the file of each tensor outside the blocks. */
export function placesOutside(names: BothNames, prefix: string): Places {
  const places: Places = new Map();
  const { known, own } = names;
  placeRoles(places, names, embeddingAndHeadRoles, prefix);
  placePositions(places, known.embeddingAndHead, own.embeddingAndHead, prefix);
  for (const head of known.embeddingAndHead.heads ?? ['lm_head']) {
    placeModule(places, head, own.embeddingAndHead.heads?.[0]);
  }
  placePerLayerTable(places, names, prefix);
  placeStreams(places, names, prefix);
  return places;
}

/** Places the tensors of roles that both sides have, each as its kind is stored. */
function placeRoles(places: Places, names: BothNames, roles: Roles, prefix = ''): void {
  const { known, own } = names;
  for (const [role, [kind]] of Object.entries(roles)) {
    const [name, inFile] = [roleName(known, role), roleName(own, role)];
    if (name !== undefined && inFile !== undefined) {
      placers[kind](places, names, `${prefix}${name}`, inFile);
    }
  }
}

const placers: Readonly<
  Record<RoleKind, (places: Places, names: BothNames, name: string, inFile: string) => void>
> = {
  norm: placeNorm,
  linear: placeLinear,
  module: (places, _, name, inFile) => {
    placeModule(places, name, inFile);
  },
  tensor: (places, _, name, inFile) => {
    placeTensor(places, name, inFile);
  },
  router: (places, _, name, inFile) => {
    for (const kind of ['weight', 'bias']) {
      places.set(`${name}.${kind}`, expertRows(inFile, kind));
    }
  },
  scores: (places, _, name, inFile) => {
    placeScores(places, name, inFile);
  },
  // Stacks may be split or joined; see `placeExperts`.
  experts: () => undefined,
  connection: (places, { known, own }, name, inFile) => {
    for (const part of ['fn', 'base', 'scale']) {
      const [ending = '', endingInFile = ''] = [known.connections?.ending, own.connections?.ending];
      placeTensor(places, `${name}${part}${ending}`, `${inFile}${part}${endingInFile}`);
    }
  },
};

/** One value for each expert; folders of ERNIE have them as [1, experts]. */
function placeScores(places: Places, name: string, inFile: string): void {
  const rows = expertRows(...partAndKind(inFile));
  places.set(name, (tensor, kept) =>
    rows({ ...tensor, shape: [elementCount(tensor.shape)] }, kept),
  );
}

/** Omits the rows before that of position 0. */
function placePositions(
  places: Places,
  { positions }: EmbeddingAndHeadNames,
  { positions: inFile }: EmbeddingAndHeadNames,
  prefix: string,
): void {
  if (positions === undefined || !('name' in positions) || positions.offset === 0) {
    return;
  }
  const { name, offset } = positions;
  placeModule(places, `${prefix}${name}`, inFile && 'name' in inFile ? inFile.name : '', (tensor) =>
    allRows(sliceRows(tensor, offset, tensor.shape[0] ?? 0)),
  );
}

/** Tokens beyond the table of what tokens bring to the ends of blocks bring what the first does. */
function placePerLayerTable(
  places: Places,
  { known, own, config }: BothNames,
  prefix: string,
): void {
  const [from, to] = [known.embeddingAndHead.perLayer, own.embeddingAndHead.perLayer];
  if (from !== undefined) {
    placeModule(places, `${prefix}${from.table}`, to?.table, (tensor) => {
      const [rows = 0, ...width] = tensor.shape;
      const count = Math.max(rows, config.vocab_size);
      const order = (row: number): number => (row < rows ? row : 0);
      return count === rows ? {} : { shape: [count, ...width], rows: [{ tensor, count, order }] };
    });
  }
}

/** The matrices from the first of several streams to the others, and back. */
function placeStreams(
  places: Places,
  { known: { altUp }, own, config }: BothNames,
  prefix: string,
): void {
  for (const part of ['enter', 'leave'] as const) {
    const fileName = own.altUp?.[part];
    const count = altUp === undefined || fileName === undefined ? 0 : altUp.count(config) - 1;
    for (let i = 0; i < count; i++) {
      places.set(`${prefix}${altUp?.[part]}.${i}.weight`, (tensor) => [
        {
          part: fileName ?? '',
          kind: 'weight',
          expert: i,
          ...allRows(tensor, [1, ...tensor.shape]),
        },
      ]);
    }
  }
}

const interleavedPairs = { interleaved: true, reversed: false } as const;

/** Adds a linear layer, as [out, in] whichever way the folder stores it. */
function placeLinear(
  places: Places,
  { known }: BothNames,
  name: string,
  part: string | undefined,
): void {
  placeModule(places, name, part, (tensor) =>
    known.transposed === true && tensor.shape.length === 2 ? transposed(tensor) : {},
  );
}

const transposed = (tensor: LazyTensor): RowsOfTensor => ({
  shape: tensor.shape.toReversed(),
  rows: [columnsAsRows(tensor)],
});

/** Adds queries, keys and values with a different row order in the file. */
function placeQueryKeyValue(places: Places, names: BothNames): void {
  const { known, own, family, config } = names;
  const { queryKeyValue: from } = known.attention;
  const parts = projectionNames(own.attention.queryKeyValue);
  const turnsByHalves = known.interleavedRotary !== true;
  for (const [i, name] of projectionNames(from).entries()) {
    if ('fused' in from && from.order === 'by-group') {
      placeModule(places, name, parts[i], (tensor) => ({ rows: kindByKind(tensor, config) }));
    } else if (family.interleaved === true && turnsByHalves && i < 2 && parts.length > 1) {
      placeModule(places, name, parts[i], (tensor) => ({ rows: interleaved(tensor, config) }));
    } else if (family.halved === true && i < 2) {
      placeModule(places, name, parts[i], (tensor) => ({ rows: halved(tensor, config) }));
    }
  }
}

const headSize = (config: ModelConfig): number =>
  config.head_dim ?? config.hidden_size / config.num_attention_heads;

/**
 * Reorders the rotated rows [heads, 2, half] → [heads, half, 2], as LlamaModel.permute of the conversion does if all
 * rows are rotated.
 */
function interleaved(tensor: LazyTensor, config: ModelConfig): readonly Rows[] {
  const size = headSize(config);
  const half = readRotary(config, size, interleavedPairs, '').dimensions / 2;
  const order = (row: number): number => {
    const within = row % size;
    return within < 2 * half ? row - within + (within % 2) * half + Math.floor(within / 2) : row;
  };
  return allRows(tensor).rows.map((rows) => ({ ...rows, order }));
}

/** Reorders the rotated rows [heads, half, 2] → [heads, 2, half], as Glm4Model.normal_to_neox of the conversion. */
function halved(tensor: LazyTensor, config: ModelConfig): readonly Rows[] {
  const size = headSize(config);
  const half = readRotary(config, size, interleavedPairs, '').dimensions / 2;
  const order = (row: number): number => {
    const within = row % size;
    return within < 2 * half ? row - within + 2 * (within % half) + Math.floor(within / half) : row;
  };
  return allRows(tensor).rows.map((rows) => ({ ...rows, order }));
}

/** [groups, queries + key + value] → all queries, all keys, all values (conversion/falcon.py). */
function kindByKind(tensor: LazyTensor, config: ModelConfig): readonly Rows[] {
  const size = headSize(config);
  const { num_attention_heads: heads, num_key_value_heads: all } = config;
  const perGroup = heads / (all ?? heads);
  const groups = (tensor.shape[0] ?? 0) / size / (perGroup + 2);
  const order = (row: number): number => {
    const [head, within] = [Math.floor(row / size), row % size];
    const other = head - groups * perGroup;
    const [group, place] =
      other < 0
        ? [Math.floor(head / perGroup), head % perGroup]
        : [other % groups, perGroup + Math.floor(other / groups)];
    return (group * (perGroup + 2) + place) * size + within;
  };
  return allRows(tensor).rows.map((rows) => ({ ...rows, order }));
}

/** Keys and values that come from one latent are apart in the file (conversion/deepseek.py). */
function placeLatent(places: Places, { known, own, family, config }: BothNames): void {
  const [from, to] = [known.attention.latent, own.attention.latent];
  const shape = known.latent?.(config);
  if (
    from === undefined ||
    to === undefined ||
    shape === undefined ||
    family.joinsLatent === true
  ) {
    return;
  }
  const { keyUp = '', valueUp = '' } = to.apart ?? {};
  const { plainDim: keys, valueDim: values, keyValueRank: rank } = shape;
  places.delete(`${from.keyValueUp}.bias`);
  places.set(`${from.keyValueUp}.weight`, (tensor) => {
    const heads = (tensor.shape[0] ?? 0) / (keys + values);
    const perHead = Array.from({ length: heads }, (_, head) => head * (keys + values));
    const slice = (start: number, count: number): LazyTensor =>
      sliceRows(tensor, start, start + count);
    return [
      {
        ...{ part: keyUp, kind: 'weight', shape: [heads, rank, keys] },
        rows: perHead.map((start) => columnsAsRows(slice(start, keys))),
      },
      {
        ...{ part: valueUp, kind: 'weight', shape: [heads, values, rank] },
        rows: perHead.map((start) => ({ tensor: slice(start + keys, values), count: values })),
      },
    ];
  });
}

/** Weights of xIELU are in the header. */
function placeCurve(places: Places, { known: { feedforward } }: BothNames): void {
  const { xielu } = feedforward.parts ?? {};
  for (const weight of xielu === undefined ? [] : Object.keys(curveWeights)) {
    places.set(`${xielu}.${weight}`, () => []);
  }
}

function placeGateUp(places: Places, names: BothNames, from: Projection, to: Projection): void {
  const parts = projectionNames(to);
  if ('fused' in from && !('fused' in to)) {
    places.set(`${from.fused}.weight`, (tensor) => {
      const half = (tensor.shape[0] ?? 0) / 2;
      return parts.map((part, i) => ({
        ...{ part, kind: 'weight' },
        ...allRows(sliceRows(tensor, i * half, (i + 1) * half)),
      }));
    });
    return;
  }
  for (const [i, name] of projectionNames(from).entries()) {
    placeLinear(places, names, name, parts[i]);
  }
}

function placeExperts(places: Places, names: BothNames): void {
  const { known, own, config } = names;
  const [from, to] = [known.experts, own.experts];
  if (from === undefined || to?.joined === undefined || !hasExperts(known, config)) {
    return;
  }
  const joined = from.joined ?? { gateUp: 'experts.gate_up_proj', down: 'experts.down_proj' };
  const gateUp = typeof to.joined.gateUp === 'string' ? [to.joined.gateUp] : to.joined.gateUp;
  for (const module of from.modules) {
    const prefix = module === '' ? '' : `${module}.`;
    const inside = (name: string): string => `${prefix}${name}`;
    placeRoles(places, names, expertRoles, prefix);
    if (from.parts?.sumBias !== undefined) {
      places.set(inside(from.parts.sumBias), () => []);
    }
    const place = (
      name: string,
      targets: readonly string[],
      transposed = joined.transposed === true,
    ): void => {
      const count = joined.flat === true ? config.num_experts : undefined;
      const more = { transposed, turns: joined.order === 'alternating', count };
      placeStack(places, inside(name), targets, more);
    };
    const stacks = typeof joined.gateUp === 'string' ? [joined.gateUp] : joined.gateUp;
    for (const [i, name] of stacks.entries()) {
      place(name, stacks.length === 1 ? gateUp : gateUp.slice(i, i + 1));
    }
    place(
      joined.down,
      [to.joined.down],
      joined.transposed !== undefined && joined.transposed !== false,
    );
    placeEach(places, from, inside, [gateUp, to.joined.down]);
  }
  const [shared, sharedInFile] = [from.shared?.(config), to.shared?.(config)];
  if (shared !== undefined && sharedInFile !== undefined) {
    placeGateUp(places, names, shared.gateUp, sharedInFile.gateUp);
    placeModule(places, shared.down, sharedInFile.down);
    if (shared.gate !== undefined && sharedInFile.gate !== undefined) {
      // The conversion drops sizes of 1.
      placeModule(places, shared.gate, sharedInFile.gate, ({ shape }) => ({
        shape: shape.slice(1),
      }));
    }
  }
}

/** One row for each expert. */
const expertRows =
  (part: string, kind: string): Place =>
  (tensor, kept) => {
    const isVector = kept === undefined && tensor.shape[0] === 1;
    const flat = isVector ? { ...tensor, shape: tensor.shape.slice(1) } : tensor;
    if (kept === undefined) {
      return [{ part, kind, ...allRows(flat) }];
    }
    return [
      {
        ...{ part, kind, shape: [kept.length, ...flat.shape.slice(1)] },
        rows: kept.map((expert) => {
          const row = tensorPart(flat, expert);
          return { tensor: { ...row, shape: [1, row.shape[0] ?? 1] }, count: 1 };
        }),
      },
    ];
  };

/** Adds a tensor that stacks all experts: one in the file, or two for gate and up. */
function placeStack(
  places: Places,
  name: string,
  targets: readonly string[],
  {
    transposed,
    turns = false,
    count: flat,
  }: {
    readonly transposed: boolean;
    readonly turns?: boolean | undefined;
    /** Number of experts, if the tensor has no separate axis for them. */
    readonly count: number | undefined;
  },
): void {
  const split = (
    target: string,
    i: number,
    parts: readonly LazyTensor[],
    isVector: boolean,
  ): Piece => {
    const [part, kind] = partAndKind(isVector ? target.replace(/weight$/, 'bias') : target);
    const [first] = parts;
    const [out = 0, input = 1] =
      transposed && !isVector ? (first?.shape.toReversed() ?? []) : (first?.shape ?? []);
    const count = out / targets.length;
    const order = turns
      ? (row: number): number => row * targets.length + i
      : (row: number): number => i * count + row;
    return {
      ...{ part, kind, shape: [parts.length, count, ...(isVector ? [] : [input])] },
      rows: parts.map((tensor) => ({
        tensor: isVector ? asMatrix(tensor) : tensor,
        count,
        ...(transposed && !isVector ? { transposed } : {}),
        ...(targets.length === 1 ? {} : { order }),
      })),
    };
  };
  const place =
    (isVector: boolean): Place =>
    (stored, kept) => {
      const [rows = 0, ...rest] = stored.shape;
      const shape = flat === undefined ? stored.shape : [flat, rows / flat, ...rest];
      const experts = kept ?? [...Array(shape[0] ?? 0).keys()];
      const parts = experts.map((expert) => tensorPart({ ...stored, shape }, expert));
      return targets.map((target, i) => split(target, i, parts, isVector));
    };
  places.set(name, place(false));
  places.set(
    name.endsWith('.weight') ? name.replace(/weight$/, 'bias') : `${name}_bias`,
    place(true),
  );
}

/** Tensors of single experts, named with an asterisk for the expert's number. */
function placeEach(
  places: Places,
  { gateUp, down }: ExpertNames,
  inside: (name: string) => string,
  [gateUpInFile, downInFile]: readonly [readonly string[], string],
): void {
  const targets = [...gateUp.map((name, i) => [name, gateUpInFile[i]]), [down, downInFile]];
  for (const [name = '', target = ''] of targets) {
    const [part, kind] = partAndKind(target);
    places.set(inside(`experts.*.${name}.weight`), (tensor) => [
      { part, kind, ...allRows(tensor, [1, ...tensor.shape]) },
    ]);
  }
}
