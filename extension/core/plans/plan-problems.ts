import { distance } from 'fastest-levenshtein';
import { findNodeAtLocation, parseTree } from 'jsonc-parser';
import type { Node, ParseError } from 'jsonc-parser';
import { closestNames } from '../closest-names';
import { say } from '../message';
import type { Message } from '../message';
import type { ModelSummary } from '../models/model-summary';
import {
  expertIds,
  explainUnevenGroups,
  overlap,
  RemovableUnits,
  unitsMeant,
} from '../models/units';
import { explainNothingFreed, freeingNothing } from '../shared-weights';

/** Something wrong with a plan, at a place of its text. */
export interface PlanProblem {
  readonly offset: number;
  readonly length: number;
  readonly severity: 'error' | 'warning';
  readonly problem:
    | { readonly kind: 'unknown-id'; readonly id: string; readonly nearest: string | undefined }
    | { readonly kind: 'repeated-id'; readonly id: string }
    | { readonly kind: 'compressed-twice'; readonly tensor: string }
    | { readonly kind: 'removed-and-protected'; readonly id: string }
    | { readonly kind: 'no-expert-left'; readonly mixture: string }
    | { readonly kind: 'too-few-experts'; readonly mixture: string; readonly least: number }
    | { readonly kind: 'nothing-left' }
    | { readonly kind: 'other-model' }
    | { readonly kind: 'message'; readonly message: Message };
}

/**
 * Positions of messages at fields such as `remove[2]` or `model.path`, as far as the text contains
 * them; otherwise the first line.
 */
export function placesIn(
  text: string,
): (field: string | undefined, message: Message) => PlanProblem {
  const root = parseTree(text);
  return (field = '', message) => {
    const path = field
      .split(/[.[\]]+/)
      .filter((part) => part !== '')
      .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
    const nodes = path.map((_, i) => root && findNodeAtLocation(root, path.slice(0, i + 1)));
    const node = nodes.findLast((one) => one !== undefined);
    const { offset, length } = node ?? {
      offset: 0,
      length: text.split(/\r?\n/, 1)[0]?.length ?? 0,
    };
    return { offset, length, severity: 'error', problem: { kind: 'message', message } };
  };
}

/**
 * Contradictions between a plan's text and its model. Syntax and types are checked by the schema.
 */
export function planProblems(text: string, model: ModelSummary): readonly PlanProblem[] {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors);
  if (root === undefined || errors.length > 0) {
    return [];
  }
  const remove = strings(findNodeAtLocation(root, ['remove']));
  const protect = strings(findNodeAtLocation(root, ['protect']));
  return [
    ...listProblems(remove, model),
    ...listProblems(protect, model),
    ...listProblems(named(findNodeAtLocation(root, ['widths'])), model),
    ...conflicts(remove, protect, model),
    ...compressedTwice(findNodeAtLocation(root, ['compress'])),
    ...removedTensorTypes(
      findNodeAtLocation(root, ['types']),
      [...remove, ...named(findNodeAtLocation(root, ['patch']))],
      model,
    ),
    ...noExpertLeft(remove, model),
    ...unevenGroups(remove, model),
    ...nothingLeft(findNodeAtLocation(root, ['remove']), remove, model),
    ...nothingFreed(remove, model),
    ...otherModel(findNodeAtLocation(root, ['model', 'fingerprint']), model),
  ];
}

interface Item {
  readonly id: string;
  readonly node: Node;
}

function strings(list: Node | undefined): readonly Item[] {
  return (list?.children ?? []).flatMap((node) => {
    const value: unknown = node.value;
    return typeof value === 'string' ? [{ id: value, node }] : [];
  });
}

/** The sublayers that a list of changes names. */
function named(list: Node | undefined): readonly Item[] {
  return (list?.children ?? []).flatMap((change) => {
    const node = findNodeAtLocation(change, ['sublayer']);
    const id: unknown = node?.value;
    return node !== undefined && typeof id === 'string' ? [{ id, node }] : [];
  });
}

function at(
  node: Node,
  severity: PlanProblem['severity'],
  problem: PlanProblem['problem'],
): PlanProblem {
  return { offset: node.offset, length: node.length, severity, problem };
}

function listProblems(items: readonly Item[], model: ModelSummary): readonly PlanProblem[] {
  const seen = new Set<string>();
  return items.flatMap(({ id, node }) => {
    const sublayers = unitsMeant(id, model);
    if (sublayers.length === 0) {
      return [at(node, 'error', { kind: 'unknown-id', id, nearest: nearestId(id, model) })];
    }
    const repeated = sublayers.every((sublayer) => seen.has(sublayer));
    for (const sublayer of sublayers) {
      seen.add(sublayer);
    }
    return repeated ? [at(node, 'warning', { kind: 'repeated-id', id })] : [];
  });
}

/** Each layer takes one form. */
function compressedTwice(list: Node | undefined): readonly PlanProblem[] {
  const seen = new Set<string>();
  return (list?.children ?? []).flatMap((choice) => {
    const node = findNodeAtLocation(choice, ['tensor']);
    const tensor: unknown = node?.value;
    if (node === undefined || typeof tensor !== 'string') {
      return [];
    }
    const repeated = seen.has(tensor);
    seen.add(tensor);
    return repeated ? [at(node, 'error', { kind: 'compressed-twice', tensor })] : [];
  });
}

/** Matrix of a sublayer in a GGUF file; parallel sublayers share norms. */
const blockTensor = /^blk\.(?<block>\d+)\.(?<part>attn|ffn)_(?!.*norm)/;

/** Only tensors that remain have types. */
function removedTensorTypes(
  types: Node | undefined,
  remove: readonly Item[],
  model: ModelSummary,
): readonly PlanProblem[] {
  const removedUnits = new Set(remove.flatMap(({ id }) => unitsMeant(id, model)));
  return (types?.children ?? []).flatMap(({ children: [key] = [] }) => {
    const { block, part } = blockTensor.exec(String(key?.value))?.groups ?? {};
    const id = `block.${block ?? ''}.${part === 'attn' ? 'attention' : 'feedforward'}`;
    const message = say`The plan removes ${id}, to which this tensor belongs. Delete the entry.`;
    return key === undefined || !removedUnits.has(id)
      ? []
      : [at(key, 'error', { kind: 'message', message })];
  });
}

function conflicts(
  remove: readonly Item[],
  protect: readonly Item[],
  model: ModelSummary,
): readonly PlanProblem[] {
  const locked = protect.flatMap(({ id }) => unitsMeant(id, model));
  return remove
    .filter(({ id }) =>
      unitsMeant(id, model).some((unit) => locked.some((kept) => overlap(unit, kept))),
    )
    .map(({ id, node }) => at(node, 'warning', { kind: 'removed-and-protected', id }));
}

function nothingLeft(
  list: Node | undefined,
  remove: readonly Item[],
  model: ModelSummary,
): readonly PlanProblem[] {
  const removedUnits = new Set(remove.flatMap(({ id }) => unitsMeant(id, model)));
  const { sublayers } = model;
  return list !== undefined &&
    sublayers.length > 0 &&
    sublayers.every(({ id }) => removedUnits.has(id))
    ? [at(list, 'error', { kind: 'nothing-left' })]
    : [];
}

function nothingFreed(remove: readonly Item[], model: ModelSummary): readonly PlanProblem[] {
  const ids = freeingNothing(
    model,
    remove.map(({ id }) => id),
  );
  return remove.flatMap(({ id, node }) => {
    const message = explainNothingFreed(unitsMeant(id, model).filter((one) => ids.includes(one)));
    return message === undefined ? [] : [at(node, 'warning', { kind: 'message', message })];
  });
}

/** Groups that the router chooses from stay equal. */
function unevenGroups(remove: readonly Item[], model: ModelSummary): readonly PlanProblem[] {
  const units = new RemovableUnits(model);
  const removedUnits = remove.flatMap(({ id }) => unitsMeant(id, model));
  const uneven = units.unevenGroups(
    new Set(removedUnits.flatMap((id) => units.numberOf(id) ?? [])),
  );
  const last = uneven && remove.findLast(({ id }) => expertIds(uneven).includes(id));
  return uneven === undefined || last === undefined
    ? []
    : [at(last.node, 'error', { kind: 'message', message: explainUnevenGroups(uneven) })];
}

/**
 * Removing the last expert would remove the MoE layer, and routers that select several experts need
 * at least that many.
 */
function noExpertLeft(remove: readonly Item[], model: ModelSummary): readonly PlanProblem[] {
  const removedUnits = new Set(remove.flatMap(({ id }) => unitsMeant(id, model)));
  return model.sublayers.flatMap((sublayer) => {
    const ids = expertIds(sublayer);
    const last = remove.findLast(({ id }) => ids.includes(id));
    const left = ids.filter((id) => !removedUnits.has(id)).length;
    const { id: mixture, experts: { least = 1 } = {} } = sublayer;
    return last === undefined || removedUnits.has(mixture) || left >= least
      ? []
      : [
          at(
            last.node,
            'error',
            left === 0
              ? { kind: 'no-expert-left', mixture }
              : { kind: 'too-few-experts', mixture, least },
          ),
        ];
  });
}

function otherModel(node: Node | undefined, model: ModelSummary): readonly PlanProblem[] {
  const value: unknown = node?.value;
  return node !== undefined && typeof value === 'string' && value !== model.fingerprint
    ? [at(node, 'warning', { kind: 'other-model' })]
    : [];
}

/** The id that a mistyped one most likely means. */
export function nearestId(id: string, model: ModelSummary): string | undefined {
  const known = model.sublayers.flatMap((sublayer) => [sublayer.id, `block.${sublayer.block}`]);
  const [nearest] = closestNames(id, [...new Set(known)], 1);
  return nearest !== undefined && distance(id, nearest) <= Math.max(3, id.length / 3)
    ? nearest
    : undefined;
}
