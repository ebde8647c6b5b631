#!/usr/bin/env python3
"""Writes the float32 values of blocks of a GGUF type, as the gguf package computes them.

usage: gguf_values.py TYPE BLOCKS VALUES
"""
import pathlib
import sys

import gguf
import numpy as np

kind, blocks, values = sys.argv[1:]
raw = np.frombuffer(pathlib.Path(blocks).read_bytes(), np.uint8)
found = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[kind])
pathlib.Path(values).write_bytes(found.astype("<f4").tobytes())
