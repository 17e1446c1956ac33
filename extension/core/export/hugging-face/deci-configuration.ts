/** Name of the Python module written next to nemotron-nas models, and of its class. */
export const configurationModule = 'configuration_espalier';
export const deciConfigClass = 'EspalierDeciConfig';

/** The text of configuration_espalier.py. vLLM and SGLang have the model, but leave its configuration to the folder. */
export const deciConfiguration = `# Written by Espalier. SPDX-License-Identifier: MIT
"""Configuration of nemotron-nas (DeciLM) models: that of a Llama, and what each block has."""

from transformers import LlamaConfig


class Fields(dict):
    """Fields of a JSON object as attributes, which is how models read \`block_configs\`."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(name)
        return self[name]


class ${deciConfigClass}(LlamaConfig):
    model_type = "nemotron-nas"

    def __init__(self, block_configs=(), num_attention_heads=32, num_key_value_heads=None, intermediate_size=None, **fields):
        blocks = [Fields({name: Fields(part) for name, part in block.items()}) for block in block_configs]
        groups = [block.attention.n_heads_in_group for block in blocks if not block.attention.no_op]
        shared = {"num_attention_heads": num_attention_heads, "num_key_value_heads": num_attention_heads // (groups or [1])[0]}
        super().__init__(**shared, **fields)
        self.block_configs = blocks
`;
