/** Far more than a layer of any model, or making its session, takes on a device. */
export const mostDeviceMinutes = 10;

/**
 * Signal that ends a process whose device hangs. It has no handler, so that it ends a blocked
 * process, and nothing else sends it.
 */
export const hungSignal = 'SIGALRM';
