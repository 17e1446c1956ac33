import { embeddingAndHeadPlaces } from '../../models/matrix-encoding';
import type { ModuleNeeds } from './compressed-modules';
import { raiseTooOld } from './modeling-classes';

/** Python source of modeling_espalier.py for a compressed embedding and head. */
const embeddingAndHeadModules = `class Rows:
    """An embedding whose rows become floats as they are looked up."""

    def like(self, dense):
        # It has no number, but the dtype that the model is moved to.
        self.register_buffer("dtype_of", torch.zeros(0, dtype=dense.weight.dtype), persistent=False)
        self.scale = getattr(dense, "scalar_embed_scale", None)
        return self

    def forward(self, ids):
        rows = self.matrix(ids).to(self.dtype_of.dtype)
        return rows if self.scale is None else rows * torch.tensor(self.scale).to(rows)


class GroupQuantizedRows(Rows, GroupQuantized):
    pass


class Int8Rows(Rows, Int8):
    pass


ROWS = {"group-quantized": GroupQuantizedRows, "int8": Int8Rows}


class TiedHead(nn.Module):
    """The product with the matrix of an embedding, which is no part of this module and stored once."""

    def __init__(self, table, bias):
        super().__init__()
        self.table = [table]
        self.bias = nn.Parameter(torch.empty(table.out_features)) if bias else None

    def forward(self, x):
        return nn.functional.linear(x, self.table[0].matrix().to(x.dtype), self.bias)


def put_embedding_and_head(model, forms):
    """Puts the embedding and the head of \`forms\` in the places of dense ones."""
    modules = dict(model.named_modules())
    head = model.get_output_embeddings()
    place = next((path for path, module in modules.items() if module is head), None)
    # transformers calls the head of some families otherwise than their files.
    heads = {path if path in modules else place: spec for path, spec in forms.get("head", {}).items()}
    for spec in forms.get("embedding", {}).values():
        dense = model.get_input_embeddings()
        table = ROWS[spec["kind"]](spec, *dense.weight.shape, False).like(dense)
        model.set_input_embeddings(table)
        tied = getattr(model.config, "tie_word_embeddings", False) and head is not None
        if tied and place not in heads:
            model.set_output_embeddings(TiedHead(table, head.bias is not None))
    put_forms(model, heads)


def other_ties(keys):
    """What transformers ties besides matrices."""
    if isinstance(keys, list):
        ${raiseTooOld}
    return {target: source for target, source in (keys or {}).items() if not target.endswith(".weight")}`;

/** Parts for a modeling file; empty if embedding and head are dense. */
export function embeddingAndHeadParts(
  { compressed }: ModuleNeeds,
  stockModel: string,
): {
  readonly classes: string;
  /** A statement inside the model's class. */
  readonly attribute: string;
  /** Statement after the construction of the stock model. */
  readonly call: string;
} {
  const has = embeddingAndHeadPlaces.some((place) => compressed[place] !== undefined);
  return has
    ? {
        classes: `\n\n${embeddingAndHeadModules}\n`,
        attribute: `\n    _tied_weights_keys = other_ties(${stockModel}._tied_weights_keys)`,
        call: `\n        put_embedding_and_head(self, config.espalier["compressed"])`,
      }
    : { classes: '', attribute: '', call: '' };
}
