import { CompressionSession } from '../services/sessions/compression-session';
import { isSensitivity } from '../services/documents/documents';
import type { CommandName } from '../services/command-ids';
import type { Services } from '../services/services';
import { chooseTarget, toUri } from './target';

/** Opens the compression panel of a model, or of a sensitivity table. */
export async function openCompression(services: Services, argument: unknown): Promise<void> {
  const session = await chooseCompression(services, argument, 'openCompression');
  if (session !== undefined) {
    services.compressions.show(session);
  }
}

/** The session that a command's argument means; undefined when the user picks none. */
export async function chooseCompression(
  services: Services,
  argument: unknown,
  command: CommandName,
  questions = 0,
): Promise<CompressionSession | undefined> {
  if (argument instanceof CompressionSession) {
    return argument;
  }
  const active = argument === undefined ? services.compressions.active : undefined;
  if (active !== undefined) {
    return active;
  }
  const uri = toUri(argument);
  if (uri?.scheme === 'file' && isSensitivity(uri.path)) {
    return services.compressionSessions.openTable(uri.fsPath);
  }
  const target = await chooseTarget(argument, services, command, questions);
  return target === undefined ? undefined : services.compressionSessions.open(target.model);
}
