import { say } from '../message';
import { UserError } from '../user-error';

/** Messages of ONNX Runtime and Node when memory allocation fails. */
const allocationErrorPattern =
  /cannot allocate memory|bad[ _]alloc|failed to allocate|allocation failed/i;

/** Driver messages about a device that was removed, hangs, or is out of memory. */
const deviceLostPattern =
  /device[ _](?:was |is )?(?:lost|removed|hung|reset)|\b(?:CUDA|CUBLAS|CUDNN|HIP)\b.*(?:error|fail)/i;

/** Message of ONNX Runtime if a session's external data file is missing. */
const missingDataPattern = /External data path does not exist: "([^"]+)"/;

/**
 * Converts errors that are caused by the machine, not the model, to a {@link UserError}. Other errors are returned
 * unchanged.
 */
export function asRunError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof UserError) {
    return error;
  }
  const [reason = ''] = error.message.split('\n');
  if (allocationErrorPattern.test(error.message)) {
    return new UserError('memory-exhausted', say`The system has no memory left: ${reason}.`, {
      remedy: say`Close other programs or raise the memory limit of the process, then start again. Progress is saved.`,
    });
  }
  const [, file] = missingDataPattern.exec(error.message) ?? [];
  if (file !== undefined) {
    return new UserError('file-deleted', say`The file was deleted during the run.`, {
      file,
      remedy: say`Start again.`,
    });
  }
  return deviceLostPattern.test(error.message)
    ? new UserError('device-failed', say`The device failed: ${reason}.`, {
        remedy: say`Start again to continue from the saved progress, or choose the device cpu.`,
      })
    : error;
}
