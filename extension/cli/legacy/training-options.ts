import { join } from 'node:path';
import { defaultTraining, schedules } from '../../core/datadiet/training-settings';
import type { TrainingSettings } from '../../core/datadiet/training-settings';
import type { Processes } from '../../core/datadiet/side-by-side';
import { runInChild } from '../../core/jobs/child-task';
import type { ProxyRequest } from '../../core/datadiet/proxy-model';
import type { DatasetOptions } from '../../core/data/datasets/dataset';
import { UsageError } from './command';
import type { Arguments, OptionTypes } from './command';

/** Options of commands that open a data set and train on it. */
export const trainingOptionTypes: OptionTypes = {
  data: { type: 'string' },
  label: { type: 'string' },
  text: { type: 'string' },
  features: { type: 'string', multiple: true },
  'image-size': { type: 'string' },
  gray: { type: 'boolean' },
  model: { type: 'string' },
  tokenizer: { type: 'string' },
  'max-tokens': { type: 'string' },
  batch: { type: 'string' },
  rate: { type: 'string' },
  schedule: { type: 'string' },
  momentum: { type: 'string' },
  'weight-decay': { type: 'string' },
  threads: { type: 'string' },
  processes: { type: 'string' },
};

export const dataUsage =
  '[--label COLUMN] [--text COLUMN] [--features COLUMN,…] [--image-size 32x32] [--gray]';
export const trainingUsage = [
  `[--batch ${defaultTraining.batchSize}] [--rate ${defaultTraining.learningRate}] [--schedule ${schedules.join('|')}]`,
  `[--momentum ${defaultTraining.momentum}] [--weight-decay ${defaultTraining.weightDecay}] [--threads N] [--processes N]`,
  '[--tokenizer MODEL] [--max-tokens 128]',
  dataUsage,
].join('\n    ');

/** An option that the command cannot do without. */
export function required(args: Arguments, name: string): string {
  const value = args.text(name);
  if (value === undefined) {
    throw new UsageError(`--${name} is missing.`);
  }
  return value;
}

/** A whole number of at least `least`. */
export function wholeNumber(args: Arguments, name: string, fallback: number, least = 1): number {
  const value = args.number(name) ?? fallback;
  if (!Number.isInteger(value) || value < least) {
    throw new UsageError(`--${name} takes a whole number of at least ${least}, not ${value}.`);
  }
  return value;
}

export function readDatasetOptions(args: Arguments): DatasetOptions {
  const [label, text, size] = ['label', 'text', 'image-size'].map((name) => args.text(name));
  const features = args.texts('features');
  const match = /^(\d+)x(\d+)$/.exec(size ?? '');
  if (size !== undefined && match === null) {
    throw new UsageError(`--image-size takes a size such as 32x32, not "${size}".`);
  }
  return {
    ...(label === undefined ? {} : { label }),
    ...(text === undefined ? {} : { text }),
    ...(features.length === 0 ? {} : { features }),
    ...(match === null ? {} : { imageSize: { height: Number(match[1]), width: Number(match[2]) } }),
    ...(args.flag('gray') ? { imageChannels: 1 } : {}),
  };
}

/** The model to train; texts are read by the tokenizer of the sample model unless another is named. */
export function readProxy(args: Arguments, samples: string): ProxyRequest {
  const model = args.text('model') ?? 'mlp';
  const tokenizer =
    args.text('tokenizer') ??
    (model.toLowerCase().endsWith('.onnx') ? undefined : join(samples, 'espalier-sample'));
  return {
    model,
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(args.text('max-tokens') === undefined
      ? {}
      : { maxTokens: wholeNumber(args, 'max-tokens', 1) }),
  };
}

/** Processes that seeds are trained in, side by side: as many as --processes says, or as many as pay. */
export function readProcesses(args: Arguments): Processes {
  const script = join(import.meta.dirname, 'trainer.js');
  return {
    run: async (task, job) => runInChild({ script }, task, job),
    ...(args.text('processes') === undefined ? {} : { count: wholeNumber(args, 'processes', 1) }),
  };
}

export function readTraining(args: Arguments): TrainingSettings {
  const positive = (name: string, fallback: number): number => {
    const value = args.number(name) ?? fallback;
    if (value < 0) {
      throw new UsageError(`--${name} takes a number of at least 0, not ${value}.`);
    }
    return value;
  };
  return {
    batchSize: wholeNumber(args, 'batch', defaultTraining.batchSize),
    learningRate: positive('rate', defaultTraining.learningRate),
    schedule: args.choice('schedule', schedules, defaultTraining.schedule),
    momentum: positive('momentum', defaultTraining.momentum),
    weightDecay: positive('weight-decay', defaultTraining.weightDecay),
    ...(args.text('threads') === undefined ? {} : { threads: wholeNumber(args, 'threads', 1) }),
  };
}
