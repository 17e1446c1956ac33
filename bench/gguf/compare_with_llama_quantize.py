"""Compares GGUF files that Espalier wrote with what llama.cpp's own quantizer makes of the same float file, tensor by tensor.

    python compare_with_llama_quantize.py LIBRARIES FLOAT.gguf FILE-TYPE.gguf ...    (needs gguf)

LIBRARIES holds libllama and libggml, as the npm package @node-llama-cpp/linux-x64 does in bins/linux-x64. The type is what
stands behind the last dash of a file's name; with --imatrix FILE.gguf both have used that importance matrix. Seconds are of
llama.cpp, on --threads N.
"""

import argparse
import ctypes as c
import os
import re
import tempfile
import time
from pathlib import Path

import gguf

FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12,
    "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "Q2_K_S": 21, "IQ4_NL": 25,
    "IQ4_XS": 30, "BF16": 32,
}  # fmt: skip


class Params(c.Structure):
    """llama_model_quantize_params of llama.h, release v0.5.0."""

    _fields_ = [
        ("nthread", c.c_int32), ("ftype", c.c_int), ("output_tensor_type", c.c_int), ("token_embedding_type", c.c_int),
        *[(name, c.c_bool) for name in ("allow_requantize", "quantize_output_tensor", "only_copy", "pure", "keep_split", "dry_run")],
        *[(name, c.c_void_p) for name in ("imatrix", "kv_overrides", "tt_overrides", "prune_layers")],
        ("max_buf_size", c.c_size_t),
    ]  # fmt: skip


class Importance(c.Structure):
    _fields_ = [("name", c.c_char_p), ("data", c.c_void_p), ("size", c.c_size_t)]


def load(folder):
    names = sorted(os.listdir(folder))
    pick = lambda pattern: next(str(Path(folder, name).resolve()) for name in names if re.fullmatch(pattern, name))
    for pattern in (r"libggml-base\.so", r"libggml\.(?:v.*\.)?so"):
        c.CDLL(pick(pattern), mode=c.RTLD_GLOBAL)
    library = c.CDLL(pick(r"libllama\.(?:v.*\.)?so"), mode=c.RTLD_GLOBAL)
    library.llama_model_quantize_default_params.restype = Params
    library.llama_model_quantize.argtypes = [c.c_char_p, c.c_char_p, c.POINTER(Params)]
    quiet = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)
    library.quiet = quiet
    library.llama_log_set(quiet, None)
    return library


def importance_of(path):
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    entries, keep = [], []
    for name, tensor in tensors.items():
        if name.endswith(".in_sum2"):
            stem = name.removesuffix(".in_sum2")
            counts = tensors[f"{stem}.counts"].data.reshape(-1, 1)
            values = (tensor.data.reshape(len(counts), -1) / counts).astype("<f4").reshape(-1)
            keep.append(values)
            entries.append(Importance(stem.encode(), values.ctypes.data, len(values)))
    return (Importance * (len(entries) + 1))(*entries), keep


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("libraries")
    parser.add_argument("source")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--imatrix")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    library = load(options.libraries)
    print("| type | tensors | of them with the same type and bytes | bytes of the file, ours and theirs | seconds |\n| --- | --- | --- | --- | --- |")
    for file in options.files:
        mix = Path(file).stem.rsplit("-", 1)[-1]
        with tempfile.TemporaryDirectory() as folder:
            theirs_path = os.path.join(folder, "theirs.gguf")
            params = library.llama_model_quantize_default_params()
            params.ftype, params.nthread = FILE_TYPES[mix], options.threads
            if options.imatrix:
                array, keep = importance_of(options.imatrix)
                params.imatrix = c.cast(array, c.c_void_p)
            start = time.perf_counter()
            code = library.llama_model_quantize(options.source.encode(), theirs_path.encode(), c.byref(params))
            seconds = time.perf_counter() - start
            assert code == 0, f"llama_model_quantize gives {code}"
            ours, theirs = ({t.name: t for t in gguf.GGUFReader(path).tensors} for path in (file, theirs_path))
            assert ours.keys() == theirs.keys()
            same = [n for n in ours if ours[n].tensor_type == theirs[n].tensor_type and (ours[n].data == theirs[n].data).all()]
            print(f"| {mix} | {len(ours)} | {len(same)} | {os.path.getsize(file)}, {os.path.getsize(theirs_path)} | {seconds:.1f} |", flush=True)
            for name in sorted(ours.keys() - set(same))[:5]:
                print(f"    {name}: {ours[name].tensor_type.name}, {theirs[name].tensor_type.name}")


if __name__ == "__main__":
    main()
