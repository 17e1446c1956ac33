import process from 'node:process';

/** Of newer Nodes, as editors have them. */
interface Process {
  readonly threadCpuUsage?: () => NodeJS.CpuUsage;
}

/** Where this Node cannot tell, what all threads of the process take. */
export const threadMilliseconds = (): number => {
  const { user, system } = (process as Process).threadCpuUsage?.() ?? process.cpuUsage();
  return (user + system) / 1000;
};
