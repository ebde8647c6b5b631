"""A Hugging Face folder as float32 arrays, computed from Formats/safetensors.md and Formats/packed.md alone."""

import json
import pathlib
import re

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


def _lattice(mode, raw, shape):
    """The magnitudes with signs of the points of `m.weight`."""
    # The tables are constants that the package of llama.cpp has.
    from gguf import quants

    table = {"iq2_xs": quants.IQ2_XS, "iq2_s": quants.IQ2_S}[mode]
    words = np.frombuffer(bytes.fromhex(table.grid_hex.decode()), "<u2")
    points = np.array([8, 25, 43], np.float32)[words[:, None] >> (2 * np.arange(8)) & 3]
    rows = np.frombuffer(raw, np.uint8).reshape(shape[0], -1, 64 if mode == "iq2_xs" else 72)
    if mode == "iq2_xs":
        word = rows.view("<u2").astype(np.int64)
        index, signs = word & 511, word >> 9
        odd = (signs[..., None] >> np.arange(7) & 1).sum(-1) & 1
        signs = signs | odd << 7
    else:
        upper = rows[..., 64:, None] >> (2 * np.arange(4)) & 3
        index = rows[..., :32].astype(np.int64) | upper.reshape(*rows.shape[:2], 32).astype(np.int64) << 8
        signs = rows[..., 32:64].astype(np.int64)
    negative = signs[..., None] >> np.arange(8) & 1
    return points[index] * (1 - 2 * negative).astype(np.float32)


def _lattice_weight(mode, weight, steps, factors):
    """The weights of a module on a lattice grid, from its three tensors."""
    (_, shape, raw), (_, _, integers), (_, _, d) = weight, steps, factors
    values = _lattice(mode, raw, shape)
    blocks = values.shape[1]
    packed = np.frombuffer(integers, np.uint8).reshape(shape[0], blocks, 8)
    s = np.stack([packed & 15, packed >> 4], -1).reshape(shape[0], blocks, 16)
    scales = _floats(d, "F16").reshape(shape[0], blocks, 1) * ((2 * s + 1) / 8).astype(np.float32)
    return (scales[..., None] * values.reshape(shape[0], blocks, 16, 16)).reshape(shape[0], -1)


# The bits of a code and the columns of a group; for a type without minima also the code of zero.
_K_TYPES = {"q2_k": (2, 16, None), "q3_k": (3, 16, 4), "q4_k": (4, 32, None), "q5_k": (5, 32, None), "q6_k": (6, 16, 32)}


def _block_integers(mode, raw):
    """The integers s and m of each group, from the bytes of each block."""
    if mode == "q2_k":
        return raw & 15, raw >> 4
    if mode == "q6_k":
        return raw.view(np.int8), None
    if mode == "q3_k":
        lower = np.concatenate([raw[..., :8] & 15, raw[..., :8] >> 4], -1)
        upper = np.concatenate([raw[..., 8:] >> shift & 3 for shift in (0, 2, 4, 6)], -1)
        return (lower | upper << 4).astype(np.int8) - 32, None
    first, second, last = raw[..., :4], raw[..., 4:8], raw[..., 8:]
    s = np.concatenate([first & 63, last & 15 | first >> 6 << 4], -1)
    return s, np.concatenate([second & 63, last >> 4 | second >> 6 << 4], -1)


def _block_weight(mode, weight, steps, factors):
    """The weights of a module on the grid of a K type, from its three tensors, and its codes."""
    (_, shape, raw), (_, _, integers), (_, _, d) = weight, steps, factors
    bits, group, zero = _K_TYPES[mode]
    codes = _codes(raw, bits, (shape[0], -1, group))
    blocks = codes.shape[1] * group // 256
    s, m = _block_integers(mode, np.frombuffer(integers, np.uint8).reshape(shape[0], blocks, -1))
    d = _floats(d, "F16").reshape(shape[0], blocks, -1)
    scales = (d[..., :1] * s).reshape(shape[0], -1, 1)
    biases = -zero * scales if m is None else -(d[..., 1:] * m).reshape(shape[0], -1, 1)
    return (scales * codes + biases).reshape(shape[0], -1), codes


def read(folder):
    """The configuration, the weights by tensor name, packed ones dequantized in float32, and each module's packing and codes."""
    tensors = {name: (dtype, shape, raw) for name, dtype, shape, raw in _files(folder)}
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    block = config.get("quantization") or {}
    weights, packing, codes = {}, {}, {}
    for name, (dtype, shape, raw) in tensors.items():
        module = name.removesuffix(".weight")
        if name.endswith((".block_steps", ".block_factors")):
            continue
        if name.endswith((".scales", ".biases")) and name.rsplit(".", 1)[0] + ".weight" in tensors:
            continue
        if module + ".block_steps" in tensors:
            how = block.get(module, block)
            parts = [tensors[module + part] for part in (".weight", ".block_steps", ".block_factors")]
            if how["mode"] in _K_TYPES:
                weights[name], codes[module] = _block_weight(how["mode"], *parts)
            else:
                weights[name] = _lattice_weight(how["mode"], *parts)
            packing[module] = (how["bits"], how["group_size"], how["mode"])
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
        q = _codes(raw, bits, (*shape[:-1], -1, group))
        weights[name] = (scales[..., None] * q + biases[..., None]).reshape(*shape[:-1], -1)
        codes[module] = q
        packing[module] = (bits, group, tensors[module + ".scales"][0])
    return config, weights, packing, codes


def names(folder):
    """The names of the tensors."""
    return {name for name, _, _, _ in _files(folder)}


def experts_as(names, weights):
    """The weights with the experts that are stacked for MLX as in a checkpoint whose tensors have these names."""
    result, stacks = {}, {}
    for name, value in weights.items():
        match = re.fullmatch(r"(.*)\.(?:experts\.switch_glu|switch_mlp|experts)\.(gate|up|down)_proj\.(weight|bias)", name)
        if match:
            place, part, kind = match.groups()
            stacks.setdefault((place, kind), {})[part] = value
        else:
            result[name] = value
    for (place, kind), parts in stacks.items():
        fused = f"{place}.experts.gate_up_proj"
        if fused in names:
            # gpt-oss has inputs before outputs, and the rows of gate and up in turns.
            alternating = fused + "_bias" in names
            both = np.stack if alternating else np.concatenate
            gate_up = both([parts["gate"], parts["up"]], axis=2 if alternating else 1)
            gate_up = gate_up.reshape(gate_up.shape[0], -1, *parts["gate"].shape[2:])
            down, ending = parts["down"], "" if kind == "weight" else "_bias"
            if alternating and kind == "weight":
                gate_up, down = gate_up.swapaxes(1, 2), down.swapaxes(1, 2)
            result[fused + ending] = np.ascontiguousarray(gate_up)
            result[f"{place}.experts.down_proj{ending}"] = np.ascontiguousarray(down)
            continue
        numbered = f"{place}.experts.0.w1.weight" in names
        for part, value in parts.items():
            module = {"gate": "w1", "up": "w3", "down": "w2"}[part] if numbered else part + "_proj"
            for index, expert in enumerate(value):
                result[f"{place}.experts.{index}.{module}.{kind}"] = np.ascontiguousarray(expert)
    return result
