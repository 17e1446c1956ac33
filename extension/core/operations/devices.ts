import * as v from 'valibot';
import { listDevices, resolveDevice } from '../runtime/devices';
import type { DeviceReport } from '../runtime/device';
import { costsInFolder } from '../tensornet/costs/machine-costs';
import type { MachineCosts } from '../tensornet/costs/machine-costs';
import { flag } from './fields';
import { defineOperation } from './operation';
import { needs } from './rules';
import { runFields, runOptions } from './shared-fields';

/** Measured cost of matmuls on a device of this machine. */
export interface DeviceCosts {
  readonly device: string;
  readonly costs: MachineCosts;
}

const { device } = runFields;

export const devices = defineOperation({
  id: 'devices',
  title: 'Show Devices',
  verb: 'Trying devices',
  summary: 'List the devices of this machine, and try each of them.',
  group: 'tools',
  fields: {
    costs: flag({
      description: 'Measure the times of matmuls on the device again',
      default: false,
    }),
    device,
  },
  rules: [needs('device', 'costs')],
  result: v.union([
    v.array(v.looseObject({ name: v.string(), works: v.boolean(), preferred: v.boolean() })),
    v.looseObject({ device: v.string() }),
  ]),
  trust: 'inspect',
  run: async (
    { costs, device: choice },
    context,
  ): Promise<readonly DeviceReport[] | DeviceCosts> => {
    if (!costs) {
      return listDevices();
    }
    const { device } = runOptions({ device: choice, memory: '' });
    const name = await resolveDevice(device, (message) => {
      context.warn(message);
    });
    return {
      device: name,
      costs: await costsInFolder(context.environment.costsFolder, name, context, true),
    };
  },
});
