import type { Architecture } from './architecture';
import type { ConfigFields, ConfigLayout } from './model-config';

/** `model_type`, and classes in transformers if their names don't follow from it. */
type FamilyNames = Pick<Architecture, 'modelType' | 'classes'>;

/** @param prefix of the names of its classes in transformers */
export const named = (modelType: string, prefix: string): FamilyNames => ({
  modelType,
  classes: { config: `${prefix}Config`, model: `${prefix}ForCausalLM` },
});

/** Parts that differ from the parent's, and fields of its config layout. Defaults are added to the parent's. */
interface Changes
  extends Partial<Omit<Architecture, 'modelType' | 'config'>>, Omit<ConfigLayout, 'defaults'> {
  readonly defaults?: ConfigFields | ((config: ConfigFields) => ConfigFields);
}

/** An architecture as its parent with some parts replaced. */
export function derive(
  parent: Omit<Architecture, 'modelType'>,
  names: string | FamilyNames,
  changes: Changes = {},
): Architecture {
  const { nested, names: fieldNames, lists, perBlock, byBlockCount, computed, ...others } = changes;
  const { meant, pruned, pruningProblem, isUnnumbered, fault, only, defaults, ...own } = others;
  const layout = {
    ...{ nested, names: fieldNames, lists, perBlock, byBlockCount, computed, meant },
    ...{ pruned, pruningProblem, isUnnumbered, fault, only },
    defaults: defaults && withDefaults(parent.config?.defaults, defaults),
  };
  const replaced = Object.entries(layout).filter(([, value]) => value !== undefined);
  return {
    ...parent,
    ...own,
    ...(typeof names === 'string' ? { modelType: names } : names),
    ...(parent.config === undefined && replaced.length === 0
      ? {}
      : { config: { ...parent.config, ...(Object.fromEntries(replaced) as ConfigLayout) } }),
  };
}

const withDefaults =
  (
    inherited: ConfigLayout['defaults'],
    own: NonNullable<Changes['defaults']>,
  ): NonNullable<ConfigLayout['defaults']> =>
  (config) => ({ ...inherited?.(config), ...(typeof own === 'function' ? own(config) : own) });
