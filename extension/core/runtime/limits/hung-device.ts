/** Far more than a layer of any model, or making its session, takes on a device. */
export const mostDeviceMinutes = 10;

/** What ends a process whose device hangs: nothing listens to it, so that a blocked process ends, and nothing else sends it. */
export const hungSignal = 'SIGALRM';
