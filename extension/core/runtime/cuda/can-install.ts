/** Whether ONNX Runtime for Node can load CUDA here: its build for Windows does not contain it. */
export const canInstallCuda = (): boolean => process.platform === 'linux' && process.arch === 'x64';
