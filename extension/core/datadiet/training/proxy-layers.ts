import {
  activation,
  batchNorm,
  conv2d,
  dense,
  flatten,
  globalAveragePool,
  maxPool,
  meanEmbedding,
  residual,
  sequential,
} from '../../training/layers';
import type { Layer } from '../../training/layers';

export type ImageProxy = 'cnn' | 'resnet';

const relu = activation('relu');
const hidden = 256;

/** MLP with one hidden layer of width 256. */
export function vectorLayers(classes: number): Layer {
  return sequential([flatten, dense(hidden), relu, dense(classes)]);
}

/** Mean of token embeddings of width 64 (Joulin et al. 2016, arXiv 1607.01759), followed by one hidden layer. */
export function textLayers(tokens: number, classes: number): Layer {
  return sequential([meanEmbedding(tokens, 64), dense(hidden), relu, dense(classes)]);
}

export function imageLayers(name: ImageProxy, classes: number): Layer {
  return name === 'cnn' ? convolutional(classes) : residualNetwork(classes);
}

/** CNN: 3 × 3 × 32, pooling, 3 × 3 × 64, pooling, dense. */
function convolutional(classes: number): Layer {
  return sequential([
    ...[conv2d(32, 3, { padding: 1 }), relu, maxPool(2)],
    ...[conv2d(64, 3, { padding: 1 }), relu, maxPool(2)],
    ...[flatten, dense(classes)],
  ]);
}

/** ResNet-8: the CIFAR-10 architecture of He et al. 2016 (arXiv 1512.03385, § 4.2) with n = 1. */
function residualNetwork(classes: number): Layer {
  const norm = batchNorm();
  const conv = (filters: number, stride: number): Layer =>
    conv2d(filters, 3, { padding: 1, stride, bias: false });
  const block = (filters: number, stride: number): Layer[] => [
    residual(
      sequential([conv(filters, stride), norm, relu, conv(filters, 1), norm]),
      stride === 1 ? undefined : sequential([conv2d(filters, 1, { stride, bias: false }), norm]),
    ),
    relu,
  ];
  return sequential([
    ...[conv(16, 1), norm, relu],
    ...[...block(16, 1), ...block(32, 2), ...block(64, 2)],
    ...[globalAveragePool, dense(classes)],
  ]);
}
