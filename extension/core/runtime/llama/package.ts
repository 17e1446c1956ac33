import process from 'node:process';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** npm package of llama.cpp as an addon for Node, built for one platform. */
export interface LlamaPackage {
  readonly name: string;
  readonly version: string;
  /** Size of the archive. */
  readonly bytes: number;
  /** SHA-512 of the archive in base64. */
  readonly sha512: string;
  /** Path of the folder with the addon and its libraries in the package. */
  readonly binaries: string;
}

/** Public registry of npm packages. */
export const npmRegistry = 'https://registry.npmjs.org';

/** Package of node-llama-cpp by the last part of its name. */
const addon = (
  name: string,
  version: string,
  bytes: number,
  sha512: string,
  binaries = name,
): LlamaPackage => ({
  ...{ version, bytes, sha512 },
  name: `@node-llama-cpp/${name}`,
  binaries: `bins/${binaries}`,
});

/** Packages of node-llama-cpp by platform. The sums are those of the registry, computed from the archives. */
const packages: Readonly<Record<string, LlamaPackage>> = {
  'linux-x64': addon(
    'linux-x64',
    '3.22.1',
    10_824_547,
    '5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==',
  ),
  'linux-arm64': addon(
    'linux-arm64',
    '3.22.1',
    7_340_902,
    'W+7naKCXX9/eEjjFmRS8vvx91QyLXDbeFxexZc3bh/PtQABZgmRL3C0AtYYXn4YGTj/3Qor4lWZn2tpjZFPLdQ==',
  ),
  'darwin-arm64': addon(
    'mac-arm64-metal',
    '3.21.1',
    4_858_447,
    '6MIDAZV7DXD9R1+jEXWJkFuolni3GATGE6mmuyFYc6ZmtOh9djAy15df0T0AXK3sCmVKL+fQcOAWZezxx4MvQQ==',
  ),
  'win32-x64': addon(
    'win-x64',
    '3.21.1',
    9_787_045,
    'JcIpCnra7bAd7JNWA8ehdn2DIRaTMuj+fBC8bw+5rKSNzszWFbuj2XA05c5QHovonDMBLN1ePXE/hcfZtzXoUQ==',
  ),
  'win32-arm64': addon(
    'win-arm64',
    '3.21.1',
    4_606_830,
    '/UDR7Y0B8iKfc/tqxBmWkcgRdZQ9Wrkwod7fYl4J6iZXcTIj286RkHvZSED7VMY67TrcUXVvxJVMNFtmjeYnDg==',
  ),
};

const platform = (): string => `${process.platform}-${process.arch}`;

/** True if there is a package for this machine. */
export const canInstallLlama = (): boolean => packages[platform()] !== undefined;

/**
 * npm package with a prebuilt llama.cpp for this machine.
 * @throws UserError if there is none
 */
export function llamaPackage(): LlamaPackage {
  const found = packages[platform()];
  if (found === undefined) {
    throw new UserError(
      'llama-unsupported',
      say`There is no prebuilt llama.cpp for ${platform()}.`,
      { remedy: say`Everything else works without it.` },
    );
  }
  return found;
}

/** URL of a package's archive. */
export function archiveUrl({ name, version }: LlamaPackage, registry: string): string {
  const base = registry.endsWith('/') ? registry.slice(0, -1) : registry;
  return `${base}/${name}/-/${name.split('/').at(-1) ?? name}-${version}.tgz`;
}
