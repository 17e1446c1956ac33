import type { GraphBuilder, Value } from '../../onnx/graph-builder';
import type { EmitOptions, Values } from '../model-emitter';
import { emitAttention } from '../parts/attention';
import { emitCompressedAttention } from '../parts/compressed/compressed-attention';
import { emitExperts, emitMixture, keepExperts } from '../parts/experts';
import { emitFeedforward } from '../parts/feedforward';
import { emitMixer } from '../parts/mixers/mixer';
import { emitNorms } from '../parts/norm';
import { emitSharedTransformer } from '../parts/shared-transformer';
import { emitConnected } from '../parts/streams/hyper-connections';
import { emitPatch } from '../patch/symbolic-patch';
import { carriedBy } from './carried-streams';
import { attentionSide, idsName, startsName, tokensName } from './side-values';
import type { TransformerLayout } from './transformer-layout';
import { idOfSublayer } from './transformer-sublayer';
import type { TransformerSublayer } from './transformer-sublayer';

/** What a sublayer is emitted on. */
interface Surroundings {
  /** The residual stream in front of it. */
  readonly hidden: Value;
  /** What its branch reads: the same, or the block's input. */
  readonly input: Value;
  readonly state: Values;
  readonly side: Values;
  readonly options: EmitOptions;
}

/** Emits the stream behind one sublayer, in front of the end of its block. */
export function emitSublayer(
  graph: GraphBuilder,
  layout: TransformerLayout,
  sublayer: TransformerSublayer,
  { hidden, input, state, side, options }: Surroundings,
): Value {
  const { attention, feedforward, mixer, streams } = layout;
  return graph.within(idOfSublayer(sublayer), () => {
    switch (sublayer.kind) {
      case 'patch': {
        const sum = emitPatch(graph, sublayer.patch, hidden, input);
        return emitNorms(graph, attention.norm, sum, sublayer.weights.sumNorms);
      }
      case 'feedforward':
        return emitFeedforward(graph, feedforward, sublayer.weights, hidden, input);
      case 'mixer': {
        if (mixer === undefined) {
          throw new Error('a model with mixers has their shape');
        }
        const sides = { tokens: side[tokensName] ?? '', starts: side[startsName] };
        return emitMixer(graph, mixer, sublayer.weights, hidden, sides, input, options.cache);
      }
      case 'expert': {
        const { expertMask, keptExperts } = options;
        const { shape, weights } =
          keptExperts === undefined
            ? sublayer
            : keepExperts(sublayer.shape, sublayer.weights, keptExperts);
        const { [idsName]: tokens } = side;
        const given = {
          ...(expertMask === undefined ? {} : { mask: expertMask }),
          ...(tokens === undefined ? {} : { tokens }),
        };
        return streams === undefined || weights.connection === undefined
          ? emitExperts(graph, shape, weights, hidden, expertMask, input)
          : emitConnected(graph, attention.norm, streams, weights.connection, hidden, (one) =>
              emitMixture(graph, shape, weights, one, given),
            );
      }
      case 'attention': {
        const shape = { ...attention, ...sublayer.heads };
        const [carried] = carriedBy(sublayer);
        const sides = {
          ...attentionSide(layout, sublayer, side),
          ...(carried === undefined ? {} : { othersStream: state[carried] ?? '' }),
        };
        const { shared, compressed, connection } = sublayer.weights;
        if (streams !== undefined && connection !== undefined && compressed !== undefined) {
          const weights = { ...sublayer.weights, compressed };
          return emitConnected(graph, attention.norm, streams, connection, hidden, (one) =>
            emitCompressedAttention(graph, shape, weights, one, sides, options.cache),
          );
        }
        return shared === undefined
          ? emitAttention(graph, shape, sublayer.weights, hidden, sides, options.cache)
          : emitSharedTransformer(
              graph,
              shape,
              feedforward,
              { ...sublayer.weights, shared },
              hidden,
              sides,
              options.cache,
            );
      }
    }
  });
}
