import type { Architecture, Biases } from '../transformer/architecture';
import type { ConfigLayout } from '../transformer/config-layout';
import type { EncoderConfig } from './encoder-config';

/** Names of the tensors that words, positions and segments are looked up in. */
interface TextEmbedding {
  readonly kind: 'text';
  readonly words: string;
  readonly positions: string;
  /** Of families with segments. */
  readonly types?: string;
  /** Of the sum of them. */
  readonly norm: string;
  /** Whether positions count from the padding's id + 1 and pass over padding, instead of from 0. */
  readonly positionsSkipPadding: boolean;
}

/** Names of the tensors that make a sequence of an image (arXiv 2010.11929). */
interface ImageEmbedding {
  readonly kind: 'image';
  /** The projection of patches, a convolution. */
  readonly patches: string;
  readonly classToken: string;
  readonly positions: string;
}

/** A linear layer of a head, and what follows it. */
export interface HeadStep {
  readonly name: string;
  /** Name of the bias where it is not beside the weight. */
  readonly bias?: string;
  readonly out: 'hidden' | 'vocabulary' | 'labels';
  /** The weight is the embedding of words where config.json ties them. */
  readonly tied?: boolean;
  /** `hidden_act` stands for the activation of the feed-forwards. */
  readonly activation?: string;
  readonly norm?: string;
}

/** What is computed of the last hidden states, by the class that config.json names. */
export interface HeadForm {
  readonly class: string;
  /** Class of transformers that finds it. */
  readonly auto: string;
  /** Whether only the first position is read. */
  readonly first: boolean;
  readonly steps: readonly HeadStep[];
}

/** Modules of a layer in transformers, and what stands in for each when the branch is removed. */
export type Substitutes = Readonly<Record<string, keyof typeof substituteClasses>>;

/** Python of the stand-ins: a branch adds nothing, or, with the sum inside, passes the stream on, or norms it alone. */
export const substituteClasses = {
  'nn.Identity': '',
  NoAttention: `class NoAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return torch.zeros_like(hidden_states), None
`,
  NoFeedforward: `class NoFeedforward(nn.Module):
    def forward(self, hidden_states):
        return torch.zeros_like(hidden_states)
`,
  KeptNorm: `class KeptNorm(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.LayerNorm = output.LayerNorm

    def forward(self, hidden_states, input_tensor):
        return self.LayerNorm(input_tensor)
`,
  SameAttention: `class SameAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return hidden_states, None
`,
  SameOutput: `class SameOutput(nn.Module):
    def forward(self, hidden_states, input_tensor):
        return input_tensor
`,
} as const;

/** Stand-ins that take over a part of the module in whose place they stand. */
export const takesModule = (stand: keyof typeof substituteClasses): boolean => stand === 'KeptNorm';

/** How a family of encoders differs from the others. */
export interface EncoderArchitecture {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Names in transformers: of the classes of configuration and of the model without a head. */
  readonly classes: { readonly config: string; readonly model: string };
  readonly config: ConfigLayout;
  /** What stands before every name but the head's where there is a head. */
  readonly prefix: string;
  readonly embedding: TextEmbedding | ImageEmbedding;
  /** Blocks are named `<prefix><blocks>.<number>.`. */
  readonly blocks: string;
  readonly attention: Architecture['attention'];
  readonly feedforward: Architecture['feedforward'];
  readonly biases: (config: EncoderConfig) => Biases;
  readonly finalNorm?: string;
  readonly heads: readonly HeadForm[];
  /** Where transformers has the layers, and what of them goes. */
  readonly modules: {
    readonly layers: string;
    readonly attention: Substitutes;
    readonly feedforward: Substitutes;
    /** Where transformers has linear layers that are named otherwise in files, by those names. */
    readonly linears?: Readonly<Record<string, string>>;
  };
}

/** Of each branch the module whose place a patch takes: what computes it last. */
export function patchModulesOf({
  modules: { attention, feedforward },
}: Pick<EncoderArchitecture, 'modules'>): Record<'attention' | 'feedforward', string> {
  const last = (substitutes: Substitutes): string =>
    Object.keys(substitutes).findLast((name) => substitutes[name] !== 'nn.Identity') ?? '';
  return { attention: last(attention), feedforward: last(feedforward) };
}
