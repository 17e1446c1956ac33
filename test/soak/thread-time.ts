import process from 'node:process';

/** Of newer Nodes, as editors have them. */
interface Process {
  readonly threadCpuUsage?: () => NodeJS.CpuUsage;
}

/** Time of all threads of the process, if this Node can't measure single threads. */
export const threadMilliseconds = (): number => {
  const { user, system } = (process as Process).threadCpuUsage?.() ?? process.cpuUsage();
  return (user + system) / 1000;
};
