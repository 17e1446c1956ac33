import process from 'node:process';
import { endWithParent } from '../core/jobs/parent-watchdog';
import { isDeviceName } from '../core/runtime/device';
import { runDeviceTrial } from '../core/runtime/device-probe';
import type { ProbeMessage } from '../core/runtime/device-probe';

/** Tests one device and sends the result; the parent process then ends this one. */
async function probe(device: string | undefined): Promise<ProbeMessage> {
  if (!isDeviceName(device)) {
    return { failure: `There is no device named ${String(device)}.` };
  }
  try {
    return { trial: await runDeviceTrial(device) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

endWithParent();
void probe(process.argv[2]).then((message) => process.send?.(message));
