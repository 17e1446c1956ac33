import * as v from 'valibot';
import { installCudaProvider, providerFolder } from '../runtime/cuda/install-provider';
import { retryDevice } from '../runtime/devices';
import { path, text } from './fields';
import { defineOperation } from './operation';

/** Installed version, and whether CUDA works with it. */
interface CudaInstalled {
  readonly installed: readonly string[];
  /** Hash of the package. */
  readonly sha256: string;
  readonly works: boolean;
  /** Result of trying it. */
  readonly detail: string;
}

export const installCuda = defineOperation({
  id: 'install-cuda',
  title: 'Install CUDA Provider',
  verb: 'Installing',
  summary: 'Install the CUDA provider of ONNX Runtime from a downloaded package, and try it.',
  group: 'tools',
  fields: {
    file: path({
      description: 'Package Microsoft.ML.OnnxRuntime.Gpu.Linux from nuget.org (.nupkg)',
      placeholder: 'FILE',
      positional: true,
      required: true,
    }),
    sha256: text({
      description: 'SHA-256 that the package must have',
      fallback: 'not compared',
      placeholder: 'HEX',
    }),
  },
  rules: [],
  result: v.looseObject({
    installed: v.array(v.string()),
    sha256: v.string(),
    works: v.boolean(),
    detail: v.string(),
  }),
  trust: 'write',
  run: async ({ file, sha256 }, context): Promise<CudaInstalled> => {
    const done = await installCudaProvider({ file, sha256, folder: providerFolder() }, context);
    const { works, detail } = await retryDevice('cuda');
    return { ...done, works, detail };
  },
});
