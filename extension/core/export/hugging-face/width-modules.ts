import type { Refusal } from '../../models/capability';
import { projectionNames } from '../../models/transformer/architecture';
import type { Architecture } from '../../models/transformer/architecture';
import type { Changes } from '../changes';
import { say } from '../../message';

/** Python source of modeling_espalier.py that resizes linear layers to a share of their size. */
const widthModules = `def resize(layer, path, axis, kept, whole):
    """Makes outputs (axis 0) or inputs (axis 1) of a linear layer fewer: kept of each whole."""
    parent, _, name = path.rpartition(".")
    parent = layer.get_submodule(parent)
    old = getattr(parent, name)
    is_linear = isinstance(old, nn.Linear)  # or the Conv1D of transformers
    sizes = list(old.weight.shape if is_linear else reversed(old.weight.shape))
    sizes[axis] = sizes[axis] * kept // whole
    bias = old.bias is not None
    new = nn.Linear(sizes[1], sizes[0], bias=bias) if is_linear else type(old)(*sizes)
    setattr(parent, name, new)


def resize_heads(attention, kept, whole):
    """Some families keep the numbers of heads, and their sizes together, beside the layers."""
    names = ("num_heads", "n_heads", "num_attention_heads", "num_key_value_heads", "all_head_size")
    for part in attention.modules():
        for name in names:
            count = getattr(part, name, None)
            if isinstance(count, int):
                setattr(part, name, count * kept // whole)`;

/** Why a modeling file cannot have attentions of fewer heads. */
export function explainNoWidths(
  { modelType, attention }: Pick<Architecture, 'modelType' | 'attention'>,
  { widths }: Pick<Changes, 'widths'>,
  heads?: Architecture['heads'],
): Refusal | undefined {
  const widthPruned = Object.keys(widths).find((id) => id.endsWith('.attention'));
  const isPlain = !('fused' in attention.queryKeyValue) && heads === undefined;
  return widthPruned === undefined || isPlain
    ? undefined
    : {
        code: 'uneven-widths',
        reason:
          heads !== undefined
            ? say`Attention layers of ${modelType} models have their own heads in each block, so the width of ${widthPruned} can't be pruned for transformers.`
            : say`transformers splits queries, keys and values of ${modelType} models by sizes that all blocks share, but ${widthPruned} has others.`,
        remedy: say`Prune the width of MLPs only, or write ONNX.`,
      };
}

/** Linear layers with different names in transformers and in the files. */
interface RenamedLinears {
  /** Layers that transformers splits into gate_proj and up_proj. */
  readonly splits?: readonly string[];
  /** Name in transformers by name in the files. */
  readonly linears?: Readonly<Record<string, string>>;
  /** The field of config.json that holds the sizes of the layers, in models of several parts. */
  readonly nested?: string | undefined;
}

/** Python code for width-pruned sublayers, as parts of a modeling file; empty if there are none. */
export function widthParts(
  { attention, feedforward }: Pick<Architecture, 'attention' | 'feedforward'>,
  { widths }: Pick<Changes, 'widths'>,
  { splits = [], linears = {}, nested }: RenamedLinears = {},
): { readonly classes: string; readonly method: string; readonly call: string } {
  if (Object.keys(widths).length === 0) {
    return { classes: '', method: '', call: '' };
  }
  const pythonModule = (name: string): string => linears[name] ?? name;
  const pythonModules = (name: string): readonly string[] =>
    splits.includes(name)
      ? ['gate_proj', 'up_proj'].map((part) => name.replace(/[^.]*$/, part))
      : [pythonModule(name)];
  const resized = (outputs: readonly string[], inputs: string): string =>
    [
      ...outputs.flatMap(pythonModules).map((path) => `("${path}", 0)`),
      `("${pythonModule(inputs)}", 1)`,
    ].join(', ');
  const [module = ''] = pythonModule(attention.output).split('.');
  return {
    classes: `\n\n${widthModules}\n`,
    method: `
    def width_of(self, block, kind):
        """Number of channels or key/value heads where it is another than the model's."""
        return (self.espalier.get("widths") or {}).get(f"block.{block}.{kind}")
`,
    call: `
            width = config.width_of(block, "attention")
            if width is not None:
                sizes = ${nested === undefined ? 'config' : `getattr(config, "${nested}", config)`}
                whole = getattr(sizes, "num_key_value_heads", None) or sizes.num_attention_heads
                for path, axis in (${resized(projectionNames(attention.queryKeyValue), attention.output)}):
                    resize(layer, path, axis, width, whole)
                resize_heads(layer.${module}, width, whole)
            width = config.width_of(block, "feedforward")
            if width is not None:
                down = layer.get_submodule("${pythonModule(feedforward.down)}")
                whole = down.weight.shape[isinstance(down, nn.Linear)]
                for path, axis in (${resized(projectionNames(feedforward.gateUp), feedforward.down)}):
                    resize(layer, path, axis, width, whole)`,
  };
}
