import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { listSupportedBackends } from 'onnxruntime-node';
import { deviceNames } from './device';
import type { DeviceChoice, DeviceName, DeviceReport } from './device';
import { probeDevice, runDeviceTrial } from './device-probe';
import type { ProbeMessage, ProbeOptions, DeviceTrial } from './device-probe';
import type { Message } from '../message';
import { say } from '../message';

/** Largest difference from the CPU's numbers, relative to the largest of them. */
const tolerance = 1e-3;

/** Device files of GPUs on Linux: of most drivers, NVIDIA, NVIDIA Tegra, AMD ROCm, Qualcomm, Arm Mali and WSL. */
const gpuFiles = [
  ...['/dev/dri', '/dev/nvidiactl', '/dev/nvhost-gpu', '/dev/nvgpu'],
  ...['/dev/kfd', '/dev/kgsl-3d0', '/dev/mali0', '/dev/dxg'],
];

/** False if this machine has no GPU. A GPU in software, which WebGPU would find, is no faster than the CPU. */
const mayHaveGpu = (): boolean => process.platform !== 'linux' || gpuFiles.some(existsSync);

interface FinderOptions extends ProbeOptions {
  /** False if this machine has nothing but its CPU, so that `auto` needs no trial. */
  readonly mayHaveGpu?: () => boolean;
}

/** Finds out, once, what the devices of this machine can do. */
export class DeviceFinder {
  private readonly reports = new Map<DeviceName, Promise<DeviceReport>>();
  private cpuTrial: Promise<DeviceTrial> | undefined;

  public constructor(private readonly options: FinderOptions) {}

  /** Every device, tried. */
  public async list(): Promise<readonly DeviceReport[]> {
    const reports: DeviceReport[] = [];
    for (const name of deviceNames) {
      reports.push(await this.report(name));
    }
    const [fastest] = reports
      .filter((report) => report.works)
      .sort((a, b) => (a.milliseconds ?? 0) - (b.milliseconds ?? 0));
    return reports.map((report) => ({ ...report, preferred: report === fastest }));
  }

  /**
   * Device to run on: the requested one if it works, otherwise the CPU, with the reason passed to
   * `warn`.
   */
  public async resolve(
    choice: DeviceChoice,
    warn: (message: Message) => void,
  ): Promise<DeviceName> {
    const { mayHaveGpu: hasOther = mayHaveGpu } = this.options;
    if (choice === 'cpu' || (choice === 'auto' && !hasOther())) {
      return 'cpu';
    }
    if (choice === 'auto') {
      return (await this.list()).find((report) => report.preferred)?.name ?? 'cpu';
    }
    const { works, detail } = await this.report(choice);
    if (works) {
      return choice;
    }
    warn(say`The device ${choice} can't be used; the CPU is used instead. ${detail}`);
    return 'cpu';
  }

  /** Tries a device again, which may have been given its libraries. */
  public async retry(name: DeviceName): Promise<DeviceReport> {
    this.reports.delete(name);
    return this.report(name);
  }

  private async report(name: DeviceName): Promise<DeviceReport> {
    let report = this.reports.get(name);
    if (report === undefined) {
      report = this.tryDevice(name);
      this.reports.set(name, report);
    }
    return report;
  }

  private async tryDevice(name: DeviceName): Promise<DeviceReport> {
    const backend = listSupportedBackends().find((supported) => supported.name === name);
    if (backend === undefined) {
      return {
        name,
        built: false,
        works: false,
        detail: `ONNX Runtime for ${process.platform}-${process.arch} does not contain it.`,
        preferred: false,
      };
    }
    const fault = (detail: string): DeviceReport => ({
      name,
      built: true,
      works: false,
      detail: backend.bundled
        ? detail
        : `Its libraries are not part of Espalier: run Install CUDA Provider. ${detail}`,
      preferred: false,
    });
    this.cpuTrial ??= runDeviceTrial('cpu');
    const expected = await this.cpuTrial;
    const message: ProbeMessage =
      name === 'cpu' ? { trial: expected } : await probeDevice(name, this.options);
    if ('failure' in message) {
      return fault(readable(message.failure));
    }
    const { output, milliseconds } = message.trial;
    const error = relativeError(output, expected.output);
    if (!(error <= tolerance)) {
      return fault(`Its numbers differ from the CPU's by ${error.toExponential(1)}.`);
    }
    const time = `${milliseconds.toFixed(0)} ms`;
    return {
      name,
      built: true,
      works: true,
      detail:
        name === 'cpu'
          ? `${processor()}: ${time} for the trial.`
          : `${time} for the trial, which takes the CPU ${expected.milliseconds.toFixed(0)} ms.`,
      milliseconds,
      preferred: false,
    };
  }
}

const finder = new DeviceFinder({
  script: join(import.meta.dirname, 'probe.js'),
  timeLimitMilliseconds: 20_000,
});

/** Every device, tried once per process. */
export async function listDevices(): Promise<readonly DeviceReport[]> {
  return finder.list();
}

/** Tries one device again. */
export async function retryDevice(name: DeviceName): Promise<DeviceReport> {
  return finder.retry(name);
}

/**
 * Device to run on. `auto` selects the fastest that works. If a requested device doesn't work, the
 * CPU is used and the reason is passed to `warn`.
 */
export async function resolveDevice(
  choice: DeviceChoice,
  warn: (message: Message) => void,
): Promise<DeviceName> {
  return finder.resolve(choice, warn);
}

function processor(): string {
  const processors = cpus();
  return `${processors[0]?.model.trim() ?? 'Processor'}, ${processors.length} cores`;
}

/** ONNX Runtime's messages begin with the place in its source and the failed condition. */
function readable(message: string): string {
  const text = message.replace(/^\S+:\d+ .* was false\. /s, '').trim();
  return text.endsWith('.') ? text : `${text}.`;
}

/** max |a − b| / max |b| */
function relativeError(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length) {
    return Number.NaN;
  }
  const scale = Math.max(...expected.map(Math.abs));
  return (
    Math.max(...expected.map((value, i) => Math.abs((actual[i] ?? Number.NaN) - value))) / scale
  );
}
