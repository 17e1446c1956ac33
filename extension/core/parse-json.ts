import { UserError } from './user-error';
import { say } from './message';
import type { Message } from './message';

/** Far more than any file of a model has; what walks through the levels would end at the end of its stack. */
const mostLevels = 500;

/**
 * The value of a JSON text.
 * @throws UserError with the remedy given, where it is not JSON or nested too deep.
 */
export function parseJson(text: string, file: string, remedy: Message): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(say`The file is not JSON: ${(error as Error).message}.`, { file, remedy });
  }
  refuseDeep(json, file, remedy);
  return json;
}

/** @throws UserError with the remedy given, where the value of a JSON text is nested too deep to be written again. */
export function refuseDeep(json: unknown, file: string, remedy: Message): void {
  if (isDeeperThan(mostLevels, json)) {
    throw new UserError(say`The file has more than ${mostLevels} levels of nesting.`, {
      file,
      remedy,
    });
  }
}

/**
 * The value of a JSON text; undefined where it is not JSON.
 * @param revive what stands for each value within, as for `JSON.parse`
 */
export function jsonOf(text: string, revive?: Parameters<typeof JSON.parse>[1]): unknown {
  try {
    return JSON.parse(text, revive);
  } catch {
    return undefined;
  }
}

function isDeeperThan(levels: number, json: unknown): boolean {
  let level = [json].filter(isNested);
  for (let depth = 0; depth < levels && level.length > 0; depth++) {
    level = level.flatMap((value) => Object.values(value).filter(isNested));
  }
  return level.length > 0;
}

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null;
