"""Loads a folder with transformers and prints the mean of its last hidden states.

    python check_folder.py FOLDER
"""

import sys

import torch
from transformers import AutoModel, AutoTokenizer

folder = sys.argv[1]
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
inputs = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)("An espalier is a tree trained flat.", return_tensors="pt")
with torch.no_grad():
    print(f"{model(**inputs).last_hidden_state.mean():.6f}")
