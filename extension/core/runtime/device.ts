/** Execution providers of ONNX Runtime that a user can ask for. */
export const deviceNames = ['cpu', 'cuda', 'dml', 'coreml', 'webgpu'] as const;
export type DeviceName = (typeof deviceNames)[number];

export function isDeviceName(name: string | undefined): name is DeviceName {
  return deviceNames.some((known) => known === name);
}

/** `auto` takes the fastest device that works. */
export type DeviceChoice = DeviceName | 'auto';

/** What trying one device showed. */
export interface DeviceReport {
  readonly name: DeviceName;
  /** Whether this build of ONNX Runtime contains the provider. */
  readonly built: boolean;
  /** Whether a small graph ran on it and gave the right numbers. */
  readonly works: boolean;
  /** Why it does not work, or what it is (such as the CPU's name). */
  readonly detail: string;
  /** Time of the trial, where it works. */
  readonly milliseconds?: number;
  /** Whether `auto` picks this one. */
  readonly preferred: boolean;
}
