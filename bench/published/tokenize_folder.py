"""Ids that the native tokenizers library gives texts: standard input is the texts as JSON.

    python tokenize_folder.py TOKENIZER_JSON
"""

import json
import sys

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
tokenizer.no_padding()
print(json.dumps([tokenizer.encode(text).ids for text in json.load(sys.stdin)]))
