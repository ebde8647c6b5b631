#!/usr/bin/env python3
"""Makes Fixtures/awq/: a linear `m` as AutoAWQ stores it, and its weights by AutoAWQ.

m/                     a folder with config.json and model.safetensors
expected.safetensors   `m`: the weights, F32 [out, in]

usage: python3 Scripts/make-awq-golden.py PACKING_UTILS
PACKING_UTILS is awq/utils/packing_utils.py of AutoAWQ 0.2.9, which is loaded without the package. Needs torch 2.15 and
safetensors.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "Fixtures" / "awq"
INPUTS, OUTPUTS, GROUP = 64, 48, 32

specification = importlib.util.spec_from_file_location("packing_utils", sys.argv[1])
packing = importlib.util.module_from_spec(specification)
specification.loader.exec_module(packing)

torch.manual_seed(1)
# Every word is eight codes.
words = lambda rows: torch.randint(-(2**31), 2**31, (rows, OUTPUTS // 8), dtype=torch.int64).to(torch.int32)
codes, points = words(INPUTS), words(INPUTS // GROUP)
scales = (torch.rand(INPUTS // GROUP, OUTPUTS) * 0.01 + 1e-4).half()

shutil.rmtree(OUT, ignore_errors=True)
(OUT / "m").mkdir(parents=True)
configuration = {
    "quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True,
    "modules_to_not_convert": None,
}  # fmt: skip
text = json.dumps({"model_type": "llama", "quantization_config": configuration}, indent=2)
(OUT / "m" / "config.json").write_text(text + "\n")
save_file({"m.qweight": codes, "m.qzeros": points, "m.scales": scales}, OUT / "m" / "model.safetensors")
weight = packing.dequantize_gemm(codes, points, scales.float(), 4, GROUP).T.contiguous()
save_file({"m": weight}, OUT / "expected.safetensors")
