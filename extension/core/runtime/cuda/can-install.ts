import { existsSync } from 'node:fs';

/** True if ONNX Runtime for Node can load CUDA here. Its Windows build doesn't include it. */
export const canInstallCuda = (): boolean => process.platform === 'linux' && process.arch === 'x64';

/** True if the driver of an NVIDIA GPU is loaded, in Linux or in WSL. */
export const hasNvidiaGpu = (exists: (file: string) => boolean = existsSync): boolean =>
  ['/dev/nvidiactl', '/dev/dxg'].some((file) => exists(file));
