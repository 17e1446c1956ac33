import type { Architecture } from '../../models/transformer/architecture';
import { raiseTooOld } from './modeling-classes';

/** Python source for MoE layers with other numbers of experts, as parts of a modeling file. */
interface ExpertParts {
  /** Method of the configuration. */
  readonly method: string;
  /** Statement that fails if the version of transformers is too old. */
  readonly check: string;
  /** Statements inside the loop over layers. */
  readonly call: string;
  /** Statements that remove modules that transformers applies next to the MLP. */
  readonly withoutOwnNorms: string;
  /** Further parameters of the module's `forward`. */
  readonly parameters: string;
}

/**
 * Source for MoE layers; empty if the family has none.
 * @param module of the MoE layer in transformers
 * @param layers Python expression of all layers
 * @param indented joins Python lines inside the loop
 */
export function expertParts(
  { experts, config }: Pick<Architecture, 'experts' | 'config'>,
  module: string,
  layers: string,
  indented: (lines: readonly string[]) => string,
): ExpertParts {
  if (experts === undefined) {
    return { method: '', check: '', call: '', withoutOwnNorms: '', parameters: '' };
  }
  const perToken = config?.names?.['num_experts_per_tok'] ?? 'num_experts_per_tok';
  const { ownNorms, table } = experts.parts ?? {};
  // Only some blocks have a table, so transformers constructs the module with the block's number.
  const block = table === undefined ? '' : ', block';
  const modules = ownNorms?.modules ?? [module];
  return {
    method: `
    def experts_in(self, block):
        """Number of experts where it is another than the model's."""
        experts = (getattr(self, "espalier", None) or {}).get("experts") or {}
        return experts.get(str(block))
`,
    // transformers 4 uses another module there, and would silently ignore its weights.
    check: `\n        if not all(hasattr(layer, "${module}") for layer in ${layers}):\n            ${raiseTooOld}`,
    call: `
            count = config.experts_in(block)
            if count is not None:
                fewer = copy.copy(config)
                fewer.num_local_experts = fewer.num_experts = count
                fewer.${perToken} = min(config.${perToken}, count)
                ${indented(modules.map((name) => `layer.${name} = type(layer.${name})(fewer${block})`))}`,
    withoutOwnNorms:
      ownNorms === undefined
        ? ''
        : `
                if layer.${ownNorms.flag}:
                    layer.${ownNorms.flag} = False
                    ${[...ownNorms.modules, ownNorms.norm, ownNorms.postNorm, ownNorms.sharedPostNorm].map((name) => `layer.${name}`).join(' = ')} = None`,
    parameters: table === undefined ? '' : ', **kwargs',
  };
}
