import type { Changes } from '../changes';

/**
 * Python classes of modeling_espalier.py for compressed linear layers. Parameter and buffer names match
 * core/models/encodings/stored-encodings. Integers are converted to float when used; inputs are not quantized.
 */
const compressedModules = `def linear(spec, out_features, in_features, bias=False):
    """y = x·Wᵀ + b with W in the form that \`spec\` describes."""
    if spec["kind"] == "dense":
        return nn.Linear(in_features, out_features, bias=bias)
    return FORMS[spec["kind"]](spec, out_features, in_features, bias)


class Compressed(nn.Module):
    def __init__(self, spec, out_features, in_features, bias):
        super().__init__()
        self.spec, self.out_features, self.in_features = spec, out_features, in_features
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None

    def numbers(self, name, shape, dtype):
        self.register_buffer(name, torch.zeros(shape, dtype=dtype))

    def forward(self, x):
        y = self.product(x)
        return y if self.bias is None else y + self.bias

    def product(self, x):
        return nn.functional.linear(x, self.matrix().to(x.dtype))

    @property
    def weight(self):
        """The dense matrix, for classes that multiply by it themselves, such as Mamba by that of dt_proj."""
        matrix = self.matrix()
        return matrix if self.bias is None else matrix.to(self.bias.dtype)


class LowRank(Compressed):
    """W = left · right."""

    def __init__(self, spec, out_features, in_features, bias):
        super().__init__(spec, out_features, in_features, bias)
        self.left = linear(spec["left"], out_features, spec["rank"])
        self.right = linear(spec["right"], spec["rank"], in_features)

    def product(self, x):
        return self.left(self.right(x))

    def matrix(self):
        return self.left.weight @ self.right.weight


class Mpo(Compressed):
    """A matrix product operator, whose cores are [left bond, out, in, right bond]."""

    def __init__(self, spec, out_features, in_features, bias):
        super().__init__(spec, out_features, in_features, bias)
        outs, ins, bonds = spec["sites"]["out"], spec["sites"]["in"], [1, *spec["bonds"], 1]
        shapes = zip(bonds, outs, ins, bonds[1:])
        self.core = nn.ParameterList([nn.Parameter(torch.empty(shape)) for shape in shapes])
        if spec["inputScale"]:
            self.input_scale = nn.Parameter(torch.empty(in_features))
        self.dense = self.dense_of = None

    def product(self, x):
        if self.spec["run"] == "chained":
            return self.chained(x * self.input_scale if self.spec["inputScale"] else x)
        return super().product(x)

    def matrix(self):
        """The cores multiplied together, with the factors on inputs: kept as long as they are not trained or moved."""
        if torch.is_grad_enabled():
            return self.contracted()
        key = [(one.device, one.dtype, one.is_inference() or one._version) for one in self.parameters()]
        if self.dense_of != key:
            self.dense, self.dense_of = self.contracted(), key
        return self.dense

    def contracted(self):
        product = self.core[0]
        for core in list(self.core)[1:]:
            product = product.reshape(-1, core.shape[0]) @ core.reshape(core.shape[0], -1)
        outs, ins = self.spec["sites"]["out"], self.spec["sites"]["in"]
        sizes = [size for pair in zip(outs, ins) for size in pair]
        order = [*range(0, len(sizes), 2), *range(1, len(sizes), 2)]
        matrix = product.reshape(sizes).permute(order).reshape(self.out_features, self.in_features)
        return matrix * self.input_scale if self.spec["inputScale"] else matrix

    def chained(self, x):
        # [rows, o1…o(k-1), i(k)…i(N), bond] from site to site
        ins = self.spec["sites"]["in"]
        y, done, rest = x.reshape(-1, 1, self.in_features, 1), 1, self.in_features
        for core, size in zip(self.core, ins):
            bond, out, _, after = core.shape
            rest //= size
            y = y.reshape(-1, done, size, rest, bond).permute(0, 1, 3, 4, 2).reshape(-1, bond * size)
            y = y @ core.permute(0, 2, 1, 3).reshape(bond * size, out * after)
            y = y.reshape(-1, done, rest, out, after).permute(0, 1, 3, 2, 4)
            done *= out
        return y.reshape(*x.shape[:-1], self.out_features)


class GroupQuantized(Compressed):
    """(number - zero) · scale, with a scale and a zero for each block of inputs."""

    def __init__(self, spec, out_features, in_features, bias):
        super().__init__(spec, out_features, in_features, bias)
        bits, size = spec["bits"], spec["groupSize"]
        blocks = -(-in_features // size)
        self.numbers("quants", (out_features, blocks, size * bits // 8), torch.uint8)
        self.numbers("scales", (out_features, blocks), torch.float32)
        if spec["zeros"]:
            self.numbers("zeros", (out_features, -(-blocks * bits // 8)), torch.uint8)

    def unpacked(self, numbers):
        if self.spec["bits"] == 8:
            return numbers
        return torch.stack([numbers & 15, numbers >> 4], -1).flatten(-2)

    def matrix(self, rows=slice(None)):
        """The floats of all rows, or of some."""
        scales = self.scales[rows]
        zeros = 2 ** (self.spec["bits"] - 1)
        if self.spec["zeros"]:
            zeros = self.unpacked(self.zeros[rows])[..., : scales.shape[-1], None].float()
        numbers = self.unpacked(self.quants[rows]).float()
        return ((numbers - zeros) * scales[..., None]).flatten(-2)[..., : self.in_features]


class Int8(Compressed):
    """number · scale, with a scale for each output, and perhaps a factor on each input."""

    def __init__(self, spec, out_features, in_features, bias):
        super().__init__(spec, out_features, in_features, bias)
        self.numbers("quants", (in_features, out_features), torch.int8)
        self.numbers("scales", (out_features,), torch.float32)
        if spec["inputScale"]:
            self.numbers("input_scale", (in_features,), torch.float32)

    def matrix(self, rows=slice(None)):
        """The floats of all rows, or of some."""
        matrix = (self.quants[:, rows].float() * self.scales[rows]).movedim(0, -1)
        return matrix * self.input_scale if self.spec["inputScale"] else matrix


FORMS = {"low-rank": LowRank, "mpo": Mpo, "group-quantized": GroupQuantized, "int8": Int8}


def put_forms(layer, forms):
    """Puts the linear layers of \`forms\` in the places of dense ones of a block."""
    for path, spec in forms.items():
        parent, _, name = path.rpartition(".")
        parent = layer.get_submodule(parent)
        dense = getattr(parent, name)
        out_features, in_features = dense.weight.shape
        if not isinstance(dense, nn.Linear):  # the Conv1D of transformers
            out_features, in_features = in_features, out_features
        bias = getattr(dense, "bias", None) is not None
        setattr(parent, name, linear(spec, out_features, in_features, bias))`;

/** Changes for which a modeling file needs more than removed sublayers. */
export type ModuleNeeds = Pick<Changes, 'compressed' | 'patched' | 'widths'>;

/**
 * Python source needed for compressed layers, for a modeling file; empty if there are none. `modules` maps linear
 * layers with different names in the files.
 */
export function compressedParts(
  { compressed }: ModuleNeeds,
  modules: Readonly<Record<string, string>> = {},
): {
  readonly classes: string;
  readonly method: string;
  /** A statement inside the loop over layers. */
  readonly call: string;
} {
  return Object.keys(compressed).length === 0
    ? { classes: '', method: '', call: '' }
    : {
        classes: `\n\n${compressedModules}\n`,
        method: `
    def forms_in(self, block):
        """Linear layers of a block that are not dense, by their paths in it."""
        compressed = self.espalier["compressed"].items()
        found = [forms for sublayer, forms in compressed if sublayer.startswith(f"block.{block}.")]
        modules = ${JSON.stringify(modules)}
        return {modules.get(path, path): spec for forms in found for path, spec in forms.items()}
`,
        call: `
            put_forms(layer, config.forms_in(block))`,
      };
}
