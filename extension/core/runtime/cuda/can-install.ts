/** True if ONNX Runtime for Node can load CUDA here. Its Windows build doesn't include it. */
export const canInstallCuda = (): boolean => process.platform === 'linux' && process.arch === 'x64';
