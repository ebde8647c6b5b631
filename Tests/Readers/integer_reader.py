"""Decodes a folder of GPTQ, AutoRound or compressed-tensors, written from Formats/gptq.md and
Formats/compressed-tensors.md alone: numpy and the standard library.

    integer_reader.py FOLDER OUT

writes the weights of each module, f32 [out, in], to OUT/<module>.f32 and prints their names.
"""
import json
import os
import sys

import numpy as np

NUMPY_TYPES = {"I32": np.uint32, "I64": np.int64, "F16": np.float16, "F32": np.float32, "BF16": np.uint16}


def read_tensors(path):
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], NUMPY_TYPES[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = values
    return tensors


def fields(words, bits, count):
    """The first fields of each row of words: field i is bits i*bits ... of the row, lowest first."""
    stream = (words[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1
    stream = stream.reshape(len(words), -1)[:, : count * bits].reshape(len(words), count, bits)
    return (stream << np.arange(bits, dtype=np.uint32)).sum(axis=2).astype(np.int64)


def gptq(tensors, module, bits, shift):
    scales = tensors[module + ".scales"].astype(np.float32)
    qweight = tensors[module + ".qweight"]
    zero_points = fields(tensors[module + ".qzeros"], bits, qweight.shape[1]) + shift
    codes = fields(qweight.T, bits, qweight.shape[0] * 32 // bits)
    repeats = codes.shape[1] // len(scales)
    return codes, scales.T, zero_points.T, repeats


def compressed_tensors(tensors, module, bits):
    outputs, inputs = tensors[module + ".weight_shape"]
    scales = tensors[module + ".weight_scale"].astype(np.float32)
    codes = fields(tensors[module + ".weight_packed"], bits, inputs)
    zero_points = np.full(scales.shape, 1 << (bits - 1))
    if module + ".weight_zero_point" in tensors:
        zero_points = fields(tensors[module + ".weight_zero_point"].T, bits, outputs).T
    return codes, scales, zero_points, inputs // scales.shape[1]


def main(folder, out):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)["quantization_config"]
    tensors = read_tensors(os.path.join(folder, "model.safetensors"))
    for name in tensors:
        module, _, part = name.rpartition(".")
        if part == "qweight":
            is_v1 = config.get("checkpoint_format") == "gptq" or config.get("packing_format") == "auto_round:auto_gptq"
            values = gptq(tensors, module, config["bits"], int(is_v1))
        elif part == "weight_packed":
            weights = config["config_groups"]["group_0"]["weights"]
            values = compressed_tensors(tensors, module, weights["num_bits"])
        else:
            continue
        codes, scales, zero_points, repeats = values
        steps = (codes - zero_points.repeat(repeats, axis=1)).astype(np.float32)
        (scales.repeat(repeats, axis=1) * steps).astype("<f4").tofile(os.path.join(out, module + ".f32"))
        print(module)


if __name__ == "__main__":
    main(*sys.argv[1:])
