/** Far more than a layer of any model, or making its session, takes on a device. */
export const mostDeviceMinutes = 10;

/**
 * Signal that kills a process with a hung device. It has no handler, so it works even if the process is blocked, and
 * nothing else sends it.
 */
export const hungSignal = 'SIGALRM';
