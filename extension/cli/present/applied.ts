import { counted } from '../counted';
import { glossary } from '../../core/glossary';
import { distanceLabel } from '../../core/quality-labels';
import {
  formatBytes,
  formatChange,
  formatCount,
  formatDistance,
  formatPercent,
} from '../../core/format';
import type { LayerRecord } from '../../core/pipelines/compression/form-store';
import { describeVerification } from '../../core/export/verification';
import type { Quality } from '../../core/evaluate/measure-quality';
import { flag } from '../../core/operations/fields';
import type { ApplyResult } from '../../core/operations/apply-plan';
import { explainMpoRun } from '../../core/tensornet/costs/machine-costs';
import { describePerplexity } from '../perplexity';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { printVerdict } from './verdict';
import { inEnglish } from '../../core/message';

/** Presenter of operations that write a changed model. */
export const applied: Presenter<ApplyResult> = {
  terms: {
    distance: glossary.measuredDistance,
    'top-1 agreement': glossary.agreement,
    perplexity: glossary.perplexity,
  },
  options: {
    verbose: flag({
      description: 'List every layer that was removed or compressed',
      default: false,
    }),
  },
  print: (result, { terminal, options }) => {
    printApplied(terminal, result, options['verbose'] === true);
  },
};

/** Prints the changes, the savings, the checks, and the distance to the original. */
export function printApplied(terminal: Terminal, result: ApplyResult, verbose: boolean): void {
  const { removed, patched = [], widths = {} } = result;
  const layers = 'layers' in result ? result.layers : [];
  printKinds(terminal, removed, patched, verbose);
  printWidthPruning(terminal, widths, verbose);
  printLayers(terminal, layers, verbose);
  const { parametersBefore, parametersAfter, bytesBefore, bytesAfter, verification } = result;
  terminal.print(
    `Parameters ${formatCount(parametersBefore)} → ${formatCount(parametersAfter)} (${formatChange(parametersBefore, parametersAfter)}), ` +
      `weights ${formatBytes(bytesBefore)} → ${formatBytes(bytesAfter)} (${formatChange(bytesBefore, bytesAfter)})`,
  );
  terminal.print(inEnglish(describeVerification(verification)));
  if (result.quality !== undefined) {
    printQuality(terminal, result.quality);
  }
  terminal.print(inEnglish(result.loadsWith));
  terminal.print(result.path);
  printVerdict(terminal, result.verdict);
}

/** `Removed attention: 3 (blocks 2, 5, 7)`, a line per kind. */
function printKinds(
  terminal: Terminal,
  removed: readonly string[],
  patched: readonly string[],
  verbose: boolean,
): void {
  const kinds = new Map<string, string[]>();
  for (const id of removed) {
    const kind = /^block\.\d+\.(\D+?)(\.\d+)?$/.exec(id)?.[1] ?? 'block';
    kinds.set(kind, [...(kinds.get(kind) ?? []), id]);
  }
  for (const [kind, ids] of kinds) {
    const blocks = [...new Set(ids.map((id) => id.split('.')[1] ?? ''))];
    terminal.print(
      verbose
        ? `Removed ${kind}: ${ids.join(', ')}`
        : `Removed ${kind}: ${ids.length} (${blocks.length === 1 ? 'block' : 'blocks'} ${blocks.join(', ')})`,
    );
  }
  if (patched.length > 0) {
    terminal.print(`Patched ${patched.join(', ')}`);
  }
}

/** Prints `Pruned the width of attention: 2, feedforward: 12`, or the remaining width of each sublayer if `verbose`. */
function printWidthPruning(
  terminal: Terminal,
  widths: Readonly<Record<string, number>>,
  verbose: boolean,
): void {
  const left = Object.entries(widths);
  const kinds = ['attention', 'feedforward'].flatMap((kind) => {
    const count = left.filter(([id]) => id.endsWith(kind)).length;
    return count === 0 ? [] : [`${kind}: ${count}`];
  });
  if (left.length > 0) {
    const all = left.map(([id, count]) => `${id} to ${count}`);
    terminal.print(`Pruned the width of ${(verbose ? all : kinds).join(', ')}`);
  }
}

/** Compressed layers, a line per kind of layer and method; every layer if `verbose`. */
function printLayers(terminal: Terminal, layers: readonly LayerRecord[], verbose: boolean): void {
  if (layers.length === 0) {
    return;
  }
  const groups = new Map<string, LayerRecord[]>();
  for (const layer of layers) {
    const key = verbose ? layer.tensor : `${tensorPattern(layer)}\n${describeMethod(layer)}`;
    groups.set(key, [...(groups.get(key) ?? []), layer]);
  }
  printTable(
    terminal,
    ['layer', 'count', 'method', 'setting', 'parameters', 'bytes', 'error', 'of outputs'],
    [...groups.values()].map((some) => [
      verbose ? (some[0]?.tensor ?? '') : tensorPattern(some[0]),
      String(some.length),
      describeMethod(some[0]),
      span(some.map(({ setting }) => setting)),
      formatCount(sum(some.map(({ parameters }) => parameters))),
      formatBytes(sum(some.map(({ bytes }) => bytes))),
      formatPercent(mean(some.map(({ error }) => error))),
      ...outputErrorCells(some),
    ]),
  );
  const runs = layers.flatMap(({ mpoRun }) => (mpoRun === undefined ? [] : [mpoRun]));
  for (const run of ['contracted', 'chained'] as const) {
    const same = runs.filter((one) => one.run === run);
    const [first] = same;
    if (first !== undefined) {
      terminal.print(`${same.length} matrix product operators, the first: ${explainMpoRun(first)}`);
    }
  }
  terminal.print();
}

function printQuality(terminal: Terminal, quality: Quality): void {
  const { metric, distance, positions, top1Agreement, perplexity, memory } = quality;
  const unit = metric === 'js' ? 'Jensen–Shannon, nats' : 'relative change of the output';
  const word = distanceLabel(metric, distance);
  const agreement =
    top1Agreement === undefined ? '' : `, top-1 agreement ${formatPercent(top1Agreement)}`;
  terminal.print(
    `Against the original: distance ${formatDistance(distance)} (${unit}${word === undefined ? '' : `: ${inEnglish(word)}`})${agreement}, ${counted(positions, 'position')}`,
  );
  if (memory !== undefined) {
    const { before, after } = memory;
    terminal.print(
      `Memory at 4 k tokens of context: ${formatBytes(before)} → ${formatBytes(after)} (${formatChange(before, after)})`,
    );
  }
  if (perplexity !== undefined) {
    terminal.print(`Perplexity on held-out text: ${describePerplexity(perplexity)}`);
  }
}

/** `model.layers.*.mlp.up_proj.weight`: the same layer of every block. */
function tensorPattern(layer: LayerRecord | undefined): string {
  return layer?.tensor.replaceAll(/\.\d+\./g, '.*.') ?? '';
}

function describeMethod(layer: LayerRecord | undefined): string {
  return layer === undefined
    ? ''
    : `${layer.method} ${layer.variant}${layer.then === undefined ? '' : ` + ${layer.then}`}`;
}

function outputErrorCells(layers: readonly LayerRecord[]): string[] {
  const known = layers.flatMap(({ outputError }) => outputError ?? []);
  return [known.length === 0 ? '' : formatPercent(mean(known))];
}

const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;

function span(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? String(low) : `${low}–${high}`;
}
