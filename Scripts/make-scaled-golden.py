#!/usr/bin/env python3
"""Makes Fixtures/scaled/: a matrix in each layout of small floats or bytes that is read, and what it stands for.

NAME/            a folder with config.json and model.safetensors, which has `m.weight` and its scales
expected.safetensors   NAME: the weights of `m` in BF16, by transformers, by compressed-tensors, or, where no library is at
                 hand (blocks that do not divide the matrix, ModelOpt, FBGEMM), by PyTorch

usage: python3 Scripts/make-scaled-golden.py
Needs torch 2.15, transformers 5.24, compressed-tensors 0.20.1 and safetensors.
"""

import json
import shutil
from pathlib import Path

import torch
from compressed_tensors.compressors.naive_quantized.base import FloatQuantizationCompressor, IntQuantizationCompressor
from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
from compressed_tensors.compressors.mxfp8.base import MXFP8QuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

OUT = Path(__file__).resolve().parent.parent / "Fixtures" / "scaled"
F8 = torch.float8_e4m3fn
ROWS, COLUMNS = 48, 96
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
expected = {}


def codes(rows=ROWS, columns=COLUMNS):
    """Every code but NaN."""
    values = torch.randint(0, 254, (rows, columns), dtype=torch.uint8)
    return (values + (values >= 127).to(torch.uint8)).view(F8)


def scales(*shape, dtype=torch.float32):
    return (torch.rand(shape) * 0.01 + 1e-4).to(dtype)


def exponents(*shape):
    return torch.randint(110, 125, shape, dtype=torch.uint8)


def write(name, configuration, tensors, weight):
    folder = OUT / name
    folder.mkdir(parents=True)
    text = json.dumps({"model_type": "llama", "quantization_config": configuration}, indent=2)
    (folder / "config.json").write_text(text + "\n")
    save_file({"m." + key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors")
    expected[name] = weight.to(torch.bfloat16).contiguous()


def fp8(name, tensors, weight=None, **more):
    if weight is None:
        weight = Fp8Dequantize(None)._dequantize_one(tensors["weight"], tensors["weight_scale_inv"], torch.bfloat16)
    write(name, {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", **more}, tensors, weight)


def compressed(name, form, compressor, arguments, tensors, **more):
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
    weight = compressor.decompress(dict(tensors), scheme)["weight"]
    block = {
        "quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {**arguments, "symmetric": arguments.get("symmetric", True)}, **more}},
    }  # fmt: skip
    write(name, block, tensors, weight)


torch.manual_seed(1)
shutil.rmtree(OUT, ignore_errors=True)

block = {"weight_block_size": [16, 24]}
fp8("fp8-block", {"weight": codes(), "weight_scale_inv": scales(3, 4, dtype=torch.bfloat16)}, **block)
fp8("fp8-e8m0", {"weight": codes(), "weight_scale_inv": exponents(3, 4).view(torch.float8_e8m0fnu)}, **block)
fp8(
    "fp8-tensor",
    {"weight": codes(), "weight_scale_inv": scales(dtype=torch.bfloat16), "activation_scale": scales()},
    weight_block_size=None,
)
remainder = {"weight": codes(40, 100), "weight_scale_inv": scales(3, 5)}
grid = remainder["weight_scale_inv"].repeat_interleave(16, 0).repeat_interleave(24, 1)[:40, :100]
fp8("fp8-remainder", remainder, remainder["weight"].float() * grid, **block)

float8 = {"num_bits": 8, "type": "float"}
channel = {"weight": codes(), "weight_scale": scales(ROWS, 1, dtype=torch.bfloat16)}
compressed("ct-channel", "float-quantized", FloatQuantizationCompressor, {**float8, "strategy": "channel"}, channel)
tensor = {"weight": codes(), "weight_scale": scales(1)}
compressed("ct-tensor", "float-quantized", FloatQuantizationCompressor, {**float8, "strategy": "tensor"}, tensor)
blocks = {"weight": codes(), "weight_scale": scales(3, 4)}
compressed(
    "ct-block", "float-quantized", FloatQuantizationCompressor,
    {**float8, "strategy": "block", "block_structure": [16, 24]}, blocks,
)  # fmt: skip
packed = torch.randint(0, 256, (ROWS, COLUMNS // 2), dtype=torch.uint8)
nv = {"weight_packed": packed, "weight_scale": scales(ROWS, COLUMNS // 16).mul(2000).to(F8), "weight_global_scale": scales(1) * 1e5}
float4 = {"num_bits": 4, "type": "float"}
compressed(
    "ct-nvfp4", "nvfp4-pack-quantized", NVFP4PackedCompressor,
    {**float4, "strategy": "tensor_group", "group_size": 16}, nv,
)  # fmt: skip
group = {"strategy": "group", "group_size": 32}
mx4 = {"weight_packed": packed, "weight_scale": exponents(ROWS, COLUMNS // 32)}
compressed("ct-mxfp4", "mxfp4-pack-quantized", MXFP4PackedCompressor, {**float4, **group}, mx4)
mx8 = {"weight": codes(), "weight_scale": exponents(ROWS, COLUMNS // 32)}
compressed("ct-mxfp8", "mxfp8-quantized", MXFP8QuantizationCompressor, {**float8, **group}, mx8)

one = {"weight": codes(), "weight_scale": scales(), "input_scale": scales(), "k_scale": scales()}
write("modelopt-fp8", {"quant_method": "modelopt", "quant_algo": "FP8"}, one, one["weight"].float() * one["weight_scale"])
two = {"weight": packed, "weight_scale": nv["weight_scale"], "weight_scale_2": scales()}
values = torch.stack([E2M1[(packed & 15).long()], E2M1[(packed >> 4).long()]], -1).reshape(ROWS, COLUMNS)
factors = (two["weight_scale"].float() * two["weight_scale_2"]).repeat_interleave(16, 1)
write("modelopt-nvfp4", {"quant_method": "modelopt", "quant_algo": "NVFP4"}, two, values * factors)
rows = {"weight": codes(), "weight_scale": scales(ROWS, 1)}
write("fbgemm", {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200}, rows, rows["weight"].float() * rows["weight_scale"])

experts, experts_scales = torch.randint(0, 256, (3, 6, 2, 16), dtype=torch.uint8), exponents(3, 6, 2)
folder = OUT / "mxfp4"
folder.mkdir()
(folder / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "mxfp4"}}) + "\n")
save_file({"m_blocks": experts, "m_scales": experts_scales}, folder / "model.safetensors")
expected["mxfp4"] = convert_moe_packed_tensors(experts, experts_scales).contiguous()

half = torch.bfloat16
integers = lambda least, most, *shape: torch.randint(least, most + 1, shape, dtype=torch.int8)
int8, rounded = {"num_bits": 8, "type": "int"}, {"input_activations": {"num_bits": 8, "dynamic": True, "strategy": "token"}}
whole = {"weight": integers(-128, 127, ROWS, COLUMNS), "weight_scale": scales(ROWS, 1, dtype=half)}
compressed("ct-int8", "int-quantized", IntQuantizationCompressor, {**int8, "strategy": "channel"}, whole, **rounded)
single = {"weight": integers(-128, 127, ROWS, COLUMNS), "weight_scale": scales(1, dtype=half)}
compressed("ct-int8-tensor", "int-quantized", IntQuantizationCompressor, {**int8, "strategy": "tensor"}, single, **rounded)
points = {**whole, "weight_zero_point": integers(-128, 127, ROWS, 1), "input_scale": scales(1)}
compressed(
    "ct-int8-asymmetric", "int-quantized", IntQuantizationCompressor,
    {**int8, "strategy": "channel", "symmetric": False}, points,
)  # fmt: skip
small = {"weight": integers(-8, 7, ROWS, COLUMNS), "weight_scale": scales(ROWS, COLUMNS // 32, dtype=half)}
compressed("ct-int4", "int-quantized", IntQuantizationCompressor, {**int8, **group, "num_bits": 4}, small, **rounded)

save_file(expected, OUT / "expected.safetensors")
