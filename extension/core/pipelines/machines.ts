import { say } from '../message';
import type { Message } from '../message';

/** Context length as `8192` or `8k`. */
export const contextForm = {
  pattern: /^[1-9]\d*k?$/i,
  takes: say`a number of tokens, such as 4096 or 8k`,
};

/** Machine that a model can be made for. */
export interface Machine {
  readonly label: Message;
  /** Bytes that a model may take next to the system and other programs. */
  readonly memoryBytes: number;
  /** Context length in tokens that memory is counted at. */
  readonly context: number;
  /** Peak memory bandwidth. */
  readonly bytesPerSecond: number;
  /** Origin of the bandwidth. */
  readonly source: string;
}

export const machineNames = ['laptop-8gb', 'laptop-16gb', 'raspberry-pi-5', 'phone'] as const;
export type MachineName = (typeof machineNames)[number];

/** Memory is what is typically free on the machine; bandwidth is the peak of its memory. */
export const machines: Readonly<Record<MachineName, Machine>> = {
  'laptop-8gb': {
    label: say`Laptop with 8 GB`,
    memoryBytes: 5e9,
    context: 8192,
    bytesPerSecond: 51.2e9,
    source: 'DDR4-3200, 2 × 64 bits',
  },
  'laptop-16gb': {
    label: say`Laptop with 16 GB`,
    memoryBytes: 11e9,
    context: 8192,
    bytesPerSecond: 76.8e9,
    source: 'DDR5-4800, 2 × 64 bits',
  },
  'raspberry-pi-5': {
    label: say`Raspberry Pi 5 with 8 GB`,
    memoryBytes: 6.5e9,
    context: 4096,
    bytesPerSecond: 17.1e9,
    source: 'LPDDR4X-4267, 32 bits',
  },
  phone: {
    label: say`Phone with 8 GB`,
    memoryBytes: 3e9,
    context: 4096,
    bytesPerSecond: 51.2e9,
    source: 'LPDDR5-6400, 64 bits',
  },
};
