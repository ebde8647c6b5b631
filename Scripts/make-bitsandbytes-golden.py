#!/usr/bin/env python3
"""Makes Fixtures/bitsandbytes/: a linear in each layout of bitsandbytes, and what it stands for.

NAME/            a folder with config.json and model.safetensors, which has what `state_dict` gives
expected.safetensors   NAME: the weights of `m`, by bitsandbytes; those of 8 bits in BF16

usage: python3 Scripts/make-bitsandbytes-golden.py
Needs torch 2.15, bitsandbytes 0.50.2 and safetensors.
"""

import json
import shutil
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant
from bitsandbytes.nn import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "Fixtures" / "bitsandbytes"
ROWS, COLUMNS = 96, 200
expected = {}


def write(name, configuration, linear):
    folder = OUT / name
    folder.mkdir(parents=True)
    block = {"quant_method": "bitsandbytes", **configuration}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": block}, indent=2) + "\n")
    tensors = {"m." + key: value.contiguous() for key, value in linear.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")


def four(name, kind, dtype, nested, block, storage=torch.uint8):
    weight = (torch.randn(ROWS, COLUMNS) * 0.02).to(dtype)
    made = {"quant_type": kind, "compress_statistics": nested, "quant_storage": storage}
    linear = Linear4bit(COLUMNS, ROWS, bias=False, **made)
    linear.weight = Params4bit(weight, requires_grad=False, blocksize=block, **made)
    linear = linear.to("cpu")
    configuration = {
        "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": nested,
        "bnb_4bit_quant_storage": str(storage).removeprefix("torch."),
    }  # fmt: skip
    write(name, configuration, linear)
    expected[name] = dequantize_4bit(linear.weight.data, linear.weight.quant_state).contiguous()


torch.manual_seed(1)
shutil.rmtree(OUT, ignore_errors=True)
four("nf4-nested", "nf4", torch.bfloat16, True, 64)
four("nf4", "nf4", torch.float16, False, 128)
four("fp4", "fp4", torch.float32, False, 64)
linear = Linear8bitLt(COLUMNS, ROWS, bias=False, has_fp16_weights=False)
linear.weight = Int8Params(torch.randn(ROWS, COLUMNS) * 0.02, requires_grad=False, has_fp16_weights=False)
linear = linear.to("cpu")
write("int8", {"load_in_4bit": False, "load_in_8bit": True}, linear)
state = linear.state_dict()
expected["int8"] = int8_vectorwise_dequant(state["weight"], state["SCB"]).to(torch.bfloat16).contiguous()
four("nf4-in-bf16", "nf4", torch.bfloat16, True, 64, torch.bfloat16)
save_file(expected, OUT / "expected.safetensors")
