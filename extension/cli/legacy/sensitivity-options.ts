import { sensitivityCalibration } from '../../core/data/calibration-defaults';
import { costsFolder } from '../../core/runtime/user-cache';
import { join } from 'node:path';
import { metricNames } from '../../core/metrics/metrics';
import { linearRoles } from '../../core/models/matrix-encoding';
import type { OpenedModel } from '../../core/models/opened-model';
import { methodNames, parseCompression } from '../../core/tensornet/compression-choice';
import { profileSensitivity } from '../../core/tensornet/sensitivity/profile-sensitivity';
import type {
  SensitivitySettings,
  SensitivityProfile,
} from '../../core/tensornet/sensitivity/sensitivity-profile';
import { calibrationOptionTypes, calibrationUsage, readCalibration } from './calibration-options';
import type { Arguments, CommandContext, OptionTypes } from './command';
import { outerOptionTypes, readBlocks, readOuter, readRoles } from './layer-options';
import { journalPath } from './paths';
import { readRunOptions } from './run-options';

export const sensitivityOptionTypes: OptionTypes = {
  ...calibrationOptionTypes,
  ...outerOptionTypes,
  methods: { type: 'string' },
  metric: { type: 'string' },
  roles: { type: 'string' },
  blocks: { type: 'string' },
  seed: { type: 'string' },
};

export const sensitivityUsage = [
  `[--methods ${methodNames.join(',')} or METHOD:LEVEL, METHOD:PERCENT%, …]`,
  `[--roles ${linearRoles.join(',')}] [--blocks 0-3,7] [--embeddings] [--head]`,
  calibrationUsage(sensitivityCalibration),
  `[--metric ${metricNames.join('|')}] [--seed N]`,
].join('\n    ');

/** Profiles the sensitivity of a model as the options ask for, and writes the table where `out` says. */
export async function runSensitivity(
  args: Arguments,
  model: OpenedModel,
  { job, samples, version, resumeHint }: CommandContext,
  out: string | undefined,
): Promise<SensitivityProfile> {
  const { summary } = model;
  const journal = await journalPath(out, summary);
  resumeHint(`Run the same command again to go on: what is done is kept in ${journal}.`);
  return profileSensitivity(
    {
      model,
      calibration: readCalibration(args, summary.maxPositions, sensitivityCalibration),
      settings: readSettings(args),
      ...readRunOptions(args),
      out,
      journal,
    },
    { bundledText: join(samples, 'calibration.txt'), version, costsFolder: costsFolder() },
    job,
  );
}

function readSettings(args: Arguments): SensitivitySettings {
  const methods = args.text('methods')?.split(',') ?? methodNames;
  const outer = readOuter(args);
  return {
    compressions: [...methods].map((method) => parseCompression(method)),
    metric: args.choice('metric', metricNames, 'js'),
    roles: readRoles(args, 'roles') ?? [],
    blocks: readBlocks(args.text('blocks')),
    ...(outer.length === 0 ? {} : { outer }),
    seed: args.number('seed') ?? 0,
  };
}
