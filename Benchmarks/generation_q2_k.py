#!/usr/bin/env python3
"""Writes a copy of a GGUF file in BF16 with the sizes of llama.cpp's Q2_K, for `generation.sh`.

usage: generation_q2_k.py INPUT.gguf OUTPUT.gguf

Matrices of layers get blocks of Q2_K, embedding and head Q6_K, as llama-quantize chooses for a tied embedding. Codes are random
and scales small: the speed of llama.cpp does not depend on the values. llama-quantize itself gives a third of the matrices
3 bits, so the real file is larger and slower. Needs gguf and numpy.
"""
import sys

import gguf
import numpy as np

TYPES = gguf.GGMLQuantizationType
# Bytes of a block of 256, and where its f16 scales are.
BLOCKS = {TYPES.Q2_K: (84, (80, 82)), TYPES.Q6_K: (210, (208,))}


def blocks(shape, kind, random):
    size, scales = BLOCKS[kind]
    data = random.integers(0, 256, (shape[0], shape[1] // 256, size), dtype=np.uint8)
    for offset in scales:
        data[:, :, offset : offset + 2] = np.frombuffer(np.float16(1e-4).tobytes(), dtype=np.uint8)
    return data.reshape(shape[0], -1)


def main(source, output):
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(output, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    random = np.random.default_rng(1)
    for tensor in reader.tensors:
        shape = [int(n) for n in tensor.shape[::-1]]
        if len(shape) != 2 or shape[1] % 256 != 0:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
            continue
        kind = TYPES.Q2_K if tensor.name.startswith("blk.") else TYPES.Q6_K
        writer.add_tensor(tensor.name, blocks(shape, kind, random), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(sys.argv[1], sys.argv[2])
