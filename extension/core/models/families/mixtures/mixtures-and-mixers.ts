import type { Architecture } from '../../transformer/architecture';
import { deepseekFamilies } from './deepseek-like';
import { deepseekV4 } from './deepseek-v4';
import { deltaRuleFamilies } from './delta-rules';
import { expertFamilies, llama4 } from './experts';
import { minimax, recurrentGemma, zamba2 } from './hybrids';
import { newerExperts } from './combined-experts';
import { selectiveScanFamilies } from './selective-scans';
import { shortConvolutionFamilies } from './short-convolutions';
import { softmaxExperts } from './softmax-experts';
import { stateSpaceFamilies } from './state-spaces';

/**
 * Families with MoE or SSM and linear-attention layers. They are about half of all, and loaded separately, so that one
 * turn of the extension host stays short.
 */
export const mixturesAndMixers: readonly Architecture[] = [
  ...expertFamilies,
  ...deepseekFamilies,
  deepseekV4,
  ...shortConvolutionFamilies,
  ...deltaRuleFamilies,
  ...stateSpaceFamilies,
  ...selectiveScanFamilies,
  recurrentGemma,
  ...newerExperts,
  ...softmaxExperts,
  llama4,
  minimax,
  zamba2,
];
