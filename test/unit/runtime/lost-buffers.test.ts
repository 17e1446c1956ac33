import { Tensor } from 'onnxruntime-node';
import { expect, it, vi } from 'vitest';
import { DeviceStates } from '../../../extension/core/runtime/states/device-states';
import { States } from '../../../extension/core/runtime/states/states';

/** A tensor of a device that is not there. */
const bufferThat = (dispose: () => void): Tensor =>
  Tensor.fromGpuBuffer({} as never, { dataType: 'float32', dims: [1, 1], dispose });

it('buffers of a lost device do not keep others from being given back', async () => {
  const given = vi.fn();
  const device = new DeviceStates('webgpu');
  const states = new States(device);
  const lost = (): Tensor =>
    bufferThat(() => {
      throw new Error('the device was lost');
    });
  const [a, b] = [lost(), bufferThat(given)];
  states.adopt({ a, b });
  states.letGo(a, b);
  expect(given).toHaveBeenCalledTimes(1);
  states.adopt({ a: lost(), b: bufferThat(given) });
  await states.dispose();
  expect(given).toHaveBeenCalledTimes(2);
});
