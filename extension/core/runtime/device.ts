import { env } from 'onnxruntime-node';

/** Execution providers of ONNX Runtime that a user can ask for. */
export const deviceNames = ['cpu', 'cuda', 'dml', 'coreml', 'webgpu'] as const;
export type DeviceName = (typeof deviceNames)[number];

export function isDeviceName(name: string | undefined): name is DeviceName {
  return deviceNames.some((known) => known === name);
}

/** `auto` is the fastest device that works. */
export type DeviceChoice = DeviceName | 'auto';

/** Result of trying one device. */
export interface DeviceReport {
  readonly name: DeviceName;
  /** True if this build of ONNX Runtime contains the provider. */
  readonly built: boolean;
  /** True if a small graph ran on it with correct results. */
  readonly works: boolean;
  /** Reason why it doesn't work, or its name, such as that of the CPU. */
  readonly detail: string;
  /** Duration of the trial, if the device works. */
  readonly milliseconds?: number;
  /** True if `auto` selects this device. */
  readonly preferred: boolean;
}

/** Version of the ONNX Runtime in use. */
export function onnxRuntimeVersion(): string {
  return env.versions.node ?? env.versions.common;
}
