import { findProgram } from './processes.mjs';
import { canUseApt, ensureDebianPackages } from './system-packages.mjs';

const PROGRAMS = ['valkey-server', 'redis-server'];

/**
 * A server of Valkey or Redis of the system, installed by apt as root where there is none.
 * @returns {Promise<string>} its path
 */
export async function ensureValkey() {
  const found = findProgram(PROGRAMS);
  if (found !== undefined) return found;
  if (canUseApt()) {
    await ensureDebianPackages(['valkey-server']);
    const installed = findProgram(PROGRAMS);
    if (installed !== undefined) return installed;
  }
  throw new Error('No Valkey or Redis was found. Install one: apt-get install valkey-server');
}
