import { convolutionRules } from './convolution';
import { elementwiseRules } from './elementwise';
import { indexingRules } from './indexing';
import { linearRules } from './linear';
import type { Rule } from './node-gradient';
import { normalizationRules } from './normalization';
import { poolingRules } from './pooling';
import { reductionRules } from './reductions';
import { shapeGradientRules } from './shapes';

/** The reverse rule of every operator that can be trained through, by its name in ONNX. */
export const gradientRules: Readonly<Record<string, Rule>> = {
  ...elementwiseRules,
  ...linearRules,
  ...convolutionRules,
  ...poolingRules,
  ...normalizationRules,
  ...reductionRules,
  ...indexingRules,
  ...shapeGradientRules,
};
