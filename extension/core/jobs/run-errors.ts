import { say } from '../message';
import { UserError } from '../user-error';

/** What ONNX Runtime and Node say where the system gives no more memory. */
const lackOfMemory = /cannot allocate memory|bad[ _]alloc|failed to allocate|allocation failed/i;

/** What drivers say of a device that was taken away, hangs, or is full. */
const lossOfDevice =
  /device[ _](?:was |is )?(?:lost|removed|hung|reset)|\b(?:CUDA|CUBLAS|CUDNN|HIP)\b.*(?:error|fail)/i;

/** What ONNX Runtime says where a file of weights that a session is to read is gone. */
const lossOfFile = /External data path does not exist: "([^"]+)"/;

/** An error of a run, as a {@link UserError} where it is the machine that failed and not the model. */
export function asRunError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof UserError) {
    return error;
  }
  const [reason = ''] = error.message.split('\n');
  if (lackOfMemory.test(error.message)) {
    return new UserError(say`The system has no memory left: ${reason}.`, {
      remedy: say`Close other programs or raise the memory limit of the process, then start again. Progress is saved.`,
    });
  }
  const [, file] = lossOfFile.exec(error.message) ?? [];
  if (file !== undefined) {
    return new UserError(say`The file was deleted during the run.`, {
      file,
      remedy: say`Start again.`,
    });
  }
  return lossOfDevice.test(error.message)
    ? new UserError(say`The device failed: ${reason}.`, {
        remedy: say`Start again to continue from the saved progress, or choose the device cpu.`,
      })
    : error;
}
