"""The peer: python pytorch.py make FILE | svd FILE THREADS ERROR FEWEST.

make writes the matrix. svd finds with torch.svd_lowrank the fewest iterations, from FEWEST on, whose
error is at most ERROR (relative, Frobenius), and times them.
"""

import json
import resource
import sys
import time

import torch

ROWS, COLUMNS, RANK, OVERSAMPLING = 4096, 11008, 512, 32
MOST_ITERATIONS = 16


def make(file):
    """A spectrum that falls slowly, sigma ~ 1/sqrt(i), as trained weights have it, and noise."""
    torch.manual_seed(0)
    sizes = torch.arange(1, 1537).rsqrt()
    matrix = (torch.randn(ROWS, 1536) * sizes) @ torch.randn(1536, COLUMNS) / (ROWS * COLUMNS) ** 0.5
    matrix += 2e-4 * torch.randn(ROWS, COLUMNS)
    matrix.numpy().tofile(file)


def factorize(matrix, iterations):
    u, s, v = torch.svd_lowrank(matrix, q=RANK + OVERSAMPLING, niter=iterations)
    return u[:, :RANK], s[:RANK], v[:, :RANK]


def error_of(matrix, found):
    u, s, v = found
    return (torch.linalg.norm(matrix - (u * s) @ v.T) / torch.linalg.norm(matrix)).item()


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def svd(file, threads, wanted, fewest):
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    size = ROWS * COLUMNS
    matrix = torch.from_file(file, size=size, dtype=torch.float32).view(ROWS, COLUMNS)
    with torch.inference_mode():
        for iterations in range(int(fewest), MOST_ITERATIONS + 1):
            started, spent = time.perf_counter(), cpu_seconds()
            found = factorize(matrix, iterations)
            seconds, work = time.perf_counter() - started, cpu_seconds() - spent
            error = error_of(matrix, found)
            if error <= float(wanted):
                break
    return {
        "seconds": seconds,
        "work": work,
        "error": error,
        "iterations": iterations,
        # The range of A, two products for each iteration, and the factor on the other side.
        "vectors": 2 * (iterations + 1) * (RANK + OVERSAMPLING),
        "torch": torch.__version__,
        "cpuSeconds": cpu_seconds(),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "make":
        make(*rest)
    else:
        print(json.dumps(svd(*rest)))
