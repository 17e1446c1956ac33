import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Plan } from '../../core/export/plan';
import { parsePlan } from '../../core/export/plan-schema';
import { UserError } from '../../core/user-error';
import type { Arguments } from './command';

/** A plan that was named on the command line. */
export interface NamedPlan {
  readonly plan: Plan;
  /** The plan's own path. */
  readonly file: string;
  /** The folder that files of the plan are relative to. */
  readonly folder: string;
  /** The model that was named, or else the plan's. */
  readonly model: string;
}

/** @throws UserError where the file is not there or no plan. */
export async function readNamedPlan(file: string, args: Arguments): Promise<NamedPlan> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new UserError('There is no such plan.', { file });
  });
  const plan = parsePlan(text, file);
  const folder = dirname(resolve(file));
  const [model = resolve(folder, plan.model.path)] = args.positionals;
  return { plan, file, folder, model };
}
