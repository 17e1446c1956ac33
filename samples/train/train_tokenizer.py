"""Trains the sample's byte-level BPE tokenizer on the corpus of fetch_corpus.py.

    python train_tokenizer.py WORK_FOLDER MODEL_FOLDER
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB_SIZE = 2048
BOS, EOS = "<s>", "</s>"


def main() -> None:
    work, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    documents = (work / "corpus/train.txt").read_text("utf-8").split("\f")

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))

    def write(name: str, value: dict) -> None:
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", "utf-8")

    write("special_tokens_map.json", {"bos_token": BOS, "eos_token": EOS, "pad_token": EOS})
    write(
        "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": EOS,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 512,
        },
    )


if __name__ == "__main__":
    main()
