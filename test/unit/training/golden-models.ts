import { BuiltModel } from '../../../extension/core/training/built-model';
import {
  activation,
  attention,
  averagePool,
  batchNorm,
  conv2d,
  dense,
  embedding,
  flatten,
  globalAveragePool,
  layerNorm,
  maxPool,
  residual,
  sequential,
} from '../../../extension/core/training/layers';
import type { Layer } from '../../../extension/core/training/layers';

const relu = activation('relu');

const resnetBlock = (outer: number, stride: number): Layer =>
  sequential([
    conv2d(outer, 3, { stride, padding: 1, bias: false }),
    batchNorm(),
    relu,
    conv2d(outer, 3, { padding: 1, bias: false }),
    batchNorm(),
  ]);

const transformerBlock = (): Layer[] => [
  residual(sequential([layerNorm(), attention({ heads: 3, causal: true })])),
  residual(sequential([layerNorm(), dense(20), activation('gelu_new'), dense(12)])),
];

/** The models of make_training_fixtures.py, their parameters named as there. */
export const goldenModels: Readonly<Record<string, () => BuiltModel>> = {
  mlp: () =>
    new BuiltModel(
      { name: 'x', shape: ['batch', 12] },
      sequential([dense(16), activation('gelu'), dense(8), relu, dense(5)]),
      1,
    ),
  cnn: () =>
    new BuiltModel(
      { name: 'x', shape: ['batch', 1, 12, 12] },
      sequential([
        conv2d(4, 3, { padding: 1 }),
        batchNorm(),
        relu,
        maxPool(3, 2, 1),
        conv2d(6, 3, { stride: 2, padding: 1, groups: 2 }),
        batchNorm(),
        relu,
        averagePool(2, 1),
        flatten,
        dense(5),
      ]),
      1,
    ),
  resnet: () =>
    new BuiltModel(
      { name: 'x', shape: ['batch', 3, 9, 9] },
      sequential([
        conv2d(4, 3, { padding: 1, bias: false }),
        batchNorm(),
        relu,
        residual(resnetBlock(4, 1)),
        relu,
        residual(
          resnetBlock(8, 2),
          sequential([conv2d(8, 1, { stride: 2, bias: false }), batchNorm()]),
        ),
        relu,
        globalAveragePool,
        dense(4),
      ]),
      1,
    ),
  transformer: () =>
    new BuiltModel(
      { name: 'x', type: 'int64', shape: ['batch', 'sequence'] },
      sequential([
        embedding(11, 12),
        ...transformerBlock(),
        ...transformerBlock(),
        layerNorm(),
        dense(11),
      ]),
      1,
    ),
};
