"""A Hugging Face folder as float32 arrays, computed from Formats/safetensors.md and Formats/packed.md alone."""

import json
import pathlib

import numpy as np


def _floats(raw, dtype):
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


def _files(folder):
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        raw = path.read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:end])
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, stop = entry["data_offsets"]
            yield name, entry["dtype"], entry["shape"], raw[end + begin : end + stop]


def _codes(raw, bits, shape):
    stream = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little").reshape(-1, bits)
    return (stream @ (1 << np.arange(bits))).astype(np.float32).reshape(shape)


def read(folder):
    """The configuration, the weights by tensor name, packed ones dequantized in float32, and each module's packing and codes."""
    tensors = {name: (dtype, shape, raw) for name, dtype, shape, raw in _files(folder)}
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    block = config.get("quantization") or {}
    weights, packing, codes = {}, {}, {}
    for name, (dtype, shape, raw) in tensors.items():
        module = name.removesuffix(".weight")
        if name.endswith((".scales", ".biases")) and name.rsplit(".", 1)[0] + ".weight" in tensors:
            continue
        if module + ".scales" not in tensors:
            weights[name] = _floats(raw, dtype).reshape(shape)
            continue
        how = block.get(module, block)
        bits, group = how["bits"], how["group_size"]
        scales, biases = (
            _floats(tensors[module + part][2], tensors[module + part][0]).reshape(tensors[module + part][1])
            for part in (".scales", ".biases")
        )
        q = _codes(raw, bits, (shape[0], -1, group))
        weights[name] = (scales[:, :, None] * q + biases[:, :, None]).reshape(shape[0], -1)
        codes[module] = q
        packing[module] = (bits, group, tensors[module + ".scales"][0])
    return config, weights, packing, codes
