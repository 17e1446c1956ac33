import { resolve } from 'node:path';
import { workspace } from 'vscode';
import type { WorkspaceConfiguration } from 'vscode';
import { defaultCalibration, randomInputs } from '../core/data/calibration-defaults';
import { deviceNames } from '../core/runtime/device';
import { UserError } from '../core/user-error';
import { asSetting, buildRequest } from '../core/operations/build-request';
import type { RequestShape } from '../core/operations/build-request';
import type { Fields, GivenOf, RequestOf } from '../core/operations/fields';
import { sharingFields } from '../core/operations/sharing';
import { withoutPassword } from '../core/distribute/queue/address';
import type { DeviceChoice } from '../core/runtime/device';
import { budgetFields } from '../core/operations/search-fields';
import type { amountFields } from '../core/operations/search-fields';
import { calibrationFields } from '../core/operations/shared-fields';
import { parseBudget } from './search-budget';
import { say } from '../core/message';
import type { Message } from '../core/message';

/** The user's settings, validated. Errors name the setting. */
export class Settings {
  public device(): DeviceChoice {
    return this.#choice('device', ['auto', ...deviceNames], 'auto');
  }

  /** The calibration text or examples that the user has set. */
  public calibrationFile(): string | undefined {
    return this.given({ file: calibrationFields(defaultCalibration).calibration }).file;
  }

  /** The user's settings for fields of a request, without defaults. */
  public given<F extends Fields>(fields: F): GivenOf<F> {
    const values = Object.entries(fields).flatMap(([key, { setting }]) => {
      const value = setting === undefined ? undefined : this.#own(setting);
      const text = typeof value === 'string' ? value.trim() : value;
      const isEmpty =
        text === undefined || text === '' || (Array.isArray(text) && text.length === 0);
      return isEmpty ? [] : [[key, text] as const];
    });
    return resolvePaths(fields, Object.fromEntries(values)) as GivenOf<F>;
  }

  /**
   * Completes a request from given fields, settings, and defaults.
   * @param unset fields whose settings are ignored
   */
  public request<const F extends Fields>(
    operation: RequestShape<F>,
    given: GivenOf<F>,
    unset: readonly (keyof F)[] = [],
  ): RequestOf<F> {
    const { fields } = operation;
    const without = Object.fromEntries(unset.map((key) => [key, undefined]));
    return buildRequest(operation, given, {
      settings: { ...this.given(fields), ...without },
      name: asSetting(fields),
    });
  }

  /** Amount that a search removes, as fields of a request. */
  public amount(): GivenOf<typeof amountFields> {
    const text = this.#text('search.budget', '25%');
    const budget = parseBudget(text);
    if (budget === undefined) {
      throw invalid(
        'search.budget',
        text,
        say`Write a share (25%), a number of removals (6), or all.`,
      );
    }
    return budgetFields(budget);
  }

  /** A stored request with the password of its queue, if that is still the queue that the user has set. */
  public withPassword(request: object): object {
    const { queue } = this.given({ queue: sharingFields.queue });
    const isSet = queue !== undefined && 'queue' in request;
    return isSet && request.queue === withoutPassword(queue) ? { ...request, queue } : request;
  }

  #configuration(): WorkspaceConfiguration {
    return workspace.getConfiguration('espalier');
  }

  #text(name: string, fallback: string): string {
    return this.#configuration().get(name, fallback).trim();
  }

  /**
   * The user's setting. Defaults declared in package.json come from the operations and are ignored.
   */
  #own(name: string): unknown {
    const { workspaceFolderValue, workspaceValue, globalValue } =
      this.#configuration().inspect(name) ?? {};
    return workspaceFolderValue ?? workspaceValue ?? globalValue ?? undefined;
  }

  #choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.#text(name, fallback);
    const choice = choices.find((known) => known === value);
    if (choice === undefined) {
      throw invalid(name, value, say`Choose one of: ${choices.join(', ')}.`);
    }
    return choice;
  }
}

function invalid(name: string, value: string, remedy: Message): UserError {
  return new UserError('setting-invalid', say`"${value}" is not a value of this setting.`, {
    field: `espalier.${name}`,
    remedy,
  });
}

/** Values of fields; relative paths among them start at the first workspace folder. */
export function resolvePaths(
  fields: Fields,
  values: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const isPath = (key: string): boolean => ['path', 'paths'].includes(fields[key]?.kind ?? '');
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, isPath(key) ? absolute(value) : value]),
  );
}

function absolute(path: unknown): unknown {
  if (Array.isArray(path)) {
    return path.map(absolute);
  }
  const base = workspace.workspaceFolders?.[0]?.uri.fsPath;
  const stays = base === undefined || typeof path !== 'string' || path === randomInputs;
  return stays ? path : resolve(base, path);
}
