/** Time limit of everything a test waits for. What takes so long hangs, also where other programs use all processors. */
export const patienceMilliseconds = 120_000;
