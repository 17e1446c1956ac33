import type { PartKind } from '../../transformer/architecture';
import type { ConnectionNames } from '../../transformer/block-end-names';
import type { ModelConfig } from '../../transformer/model-config';
import type { TensorFinder } from '../../transformer/tensor-finder';
import type { ConnectedStreams, Connection } from './hyper-connections';

/**
 * Weights that connect several residual streams; undefined if the family has a single stream.
 * @param prefix of tensors outside the blocks
 */
export function findStreams(
  names: ConnectionNames | undefined,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): ConnectedStreams | undefined {
  if (names === undefined) {
    return undefined;
  }
  const count = names.count(config);
  return {
    count,
    rounds: names.rounds(config),
    epsilon: names.epsilon(config),
    head: findThree(
      tensors,
      names,
      `${prefix}${names.head}`,
      [count, count * config.hidden_size],
      1,
    ),
  };
}

/** Finds the stream coefficients of a sublayer with tensor prefix `prefix`. */
export function findConnection(
  { connections: names }: { readonly connections?: ConnectionNames },
  part: PartKind,
  config: ModelConfig,
  tensors: TensorFinder,
  prefix: string,
): Connection | undefined {
  if (names === undefined) {
    return undefined;
  }
  const count = names.count(config);
  const branch = part === 'attention' ? 'attention' : 'feedforward';
  const factors = count * (count + 2);
  const shape = [factors, count * config.hidden_size] as const;
  return findThree(tensors, names, `${prefix}${names[branch]}`, shape, 3);
}

const findThree = (
  tensors: TensorFinder,
  { ending = '' }: ConnectionNames,
  name: string,
  [factors, width]: readonly [factors: number, width: number],
  kinds: number,
): Connection => ({
  matrix: tensors.take(`${name}fn${ending}`, [factors, width]),
  base: tensors.take(`${name}base${ending}`, [factors]),
  scale: tensors.take(`${name}scale${ending}`, [kinds]),
});
