import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './repository.mjs';

const libraries = 'node_modules/onnxruntime-node/bin/napi-v6';

/** The file that a name with the whole version repeats: where the package is unpacked, links have become copies. */
const repeated = /^libonnxruntime\.\d+\.\d+\.\d+\.dylib$/;

/** Providers that somebody has installed by `espalier install-cuda`: none comes with the package. */
const installed = /^libonnxruntime_providers_/;

/** The platforms that ONNX Runtime comes for, such as `linux-x64`. */
export function platforms() {
  return names(libraries).flatMap((platform) =>
    names(`${libraries}/${platform}`).map((arch) => `${platform}-${arch}`),
  );
}

/**
 * The files of ONNX Runtime for one platform, relative to the repository.
 * @param {string} target such as `linux-x64`
 */
export function runtimeFiles(target) {
  if (!platforms().includes(target)) {
    const known = platforms().join(', ');
    throw new Error(`ONNX Runtime does not come for ${target}. Choose one of: ${known}.`);
  }
  const folder = `${libraries}/${target.replace('-', '/')}`;
  return names(folder)
    .filter((name) => !repeated.test(name) && !installed.test(name))
    .map((name) => `${folder}/${name}`);
}

/** @param {string} folder relative to the repository */
const names = (folder) => readdirSync(join(root, folder)).sort();
