#!/usr/bin/env python3
"""Writes llama.cpp's importance files as its llama-imatrix does, with values that a formula gives.

usage: make-imatrix-golden.py FOLDER

FOLDER/tiny.gguf and tiny.dat are for the model of Tests/TestSupport/TinyModel.swift, mixtral.gguf for that of FamilyModel.mixtral.
The mean square of column j of tensor number t in the lists below is (1 + (31 t + 7 j) mod 251) / 16; of expert e it is that of
column 64 e + j, and expert 2 has no token. Layout after llama.cpp b11434, tools/imatrix/imatrix.cpp: save_imatrix,
save_imatrix_legacy. Needs gguf 0.19 and numpy.
"""

import struct
import sys

import gguf
import numpy as np

ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
DENSE = [f"blk.{layer}.{name}.weight" for layer in range(2) for name in ATTENTION + ("ffn_gate", "ffn_up", "ffn_down")]
EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


def means(number, count):
    return ((1 + (31 * number + 7 * np.arange(count)) % 251) / 16).astype(np.float32)


def write(path, tensors, extra_layers=0):
    """The GGUF form of (name, means, tokens of each matrix)."""
    writer = gguf.GGUFWriter(path, "")
    writer.kv_data[0].pop("general.architecture", None)
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", ["calibration.txt"])
    writer.add_uint32("imatrix.chunk_count", 3)
    writer.add_uint32("imatrix.chunk_size", 16)
    if extra_layers:
        writer.add_uint32("imatrix.n_layer_nextn", extra_layers)
    writer.add_array("imatrix.stats_schema", ["sum_sq", "mean"])
    for name, values, counts in sorted(tensors, key=lambda tensor: tensor[0]):
        counts = np.array(counts, dtype=np.float32)
        sums = values.reshape(len(counts), -1) * counts[:, None]
        stack = len(counts) > 1
        writer.add_tensor(name + ".in_sum2", sums if stack else sums[0])
        writer.add_tensor(name + ".counts", counts[:, None] if stack else counts)
        writer.add_tensor(name + ".in_sum", -sums if stack else -sums[0])
        writer.add_tensor(name + ".stats", np.array([1, np.nan], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_older(path, tensors, windows):
    with open(path, "wb") as file:
        file.write(struct.pack("<i", len(tensors)))
        for name, values, _ in sorted(tensors, key=lambda tensor: tensor[0]):
            file.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", windows, len(values)))
            file.write((values * np.float32(windows)).astype("<f4").tobytes())
        text = b"calibration.txt"
        file.write(struct.pack("<ii", windows, len(text)) + text)


folder = sys.argv[1]
dense = [(name, means(i, 128), [48]) for i, name in enumerate(DENSE)]
# The head, and a layer for further tokens, which the checkpoint does not have.
others = [("output.weight", means(99, 128), [48]), ("blk.2.attn_q.weight", means(0, 8), [48]), ("nextn.proj.weight", means(0, 8), [48])]
write(folder + "/tiny.gguf", dense + others, extra_layers=1)
write_older(folder + "/tiny.dat", dense + others[:1], windows=3)
mixtral = []
for layer in range(2):
    for name in ATTENTION + ("ffn_gate_inp",):
        mixtral.append((f"blk.{layer}.{name}.weight", means(len(mixtral), 64), [48]))
    for name in EXPERTS:
        mixtral.append((f"blk.{layer}.{name}.weight", means(len(mixtral), 4 * 64), [48, 64, 0, 33]))
write(folder + "/mixtral.gguf", mixtral)
