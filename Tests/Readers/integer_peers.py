"""The libraries that own the formats, beside ours.

    integer_peers.py LIBRARY read FOLDER ...     their weights of module m that we wrote, to FOLDER/m.f32
    integer_peers.py LIBRARY write ROOT          folders that they packed, ROOT/BITS-true and ROOT/BITS-false (symmetric
                                                 or not), with the weights in m.f32

LIBRARY is compressed-tensors or auto-round.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file

OUTPUTS, INPUTS, GROUP = 64, 96, 32


def scheme_of(bits, symmetric):
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group", group_size=GROUP)
    return QuantizationScheme(targets=["Linear"], weights=weights)


def sample(bits, symmetric):
    """Codes, scales that F16 holds with room for the product, zero points."""
    torch.manual_seed(bits)
    codes = torch.randint(0, 1 << bits, (OUTPUTS, INPUTS))
    scales = torch.randint(1, 64, (OUTPUTS, INPUTS // GROUP)).float() / 1024
    zeros = torch.randint(1, 1 << bits, scales.shape)
    if symmetric:
        zeros = torch.full_like(zeros, 1 << (bits - 1))
    weight = (codes - zeros.repeat_interleave(GROUP, 1)).float() * scales.repeat_interleave(GROUP, 1)
    return weight, scales, zeros


def save(folder, tensors, config, weight):
    os.makedirs(folder)
    tensors = {"m." + name: value.contiguous() for name, value in tensors.items()}
    save_file(tensors, os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"quantization_config": config}, file)
    save_weight(folder, weight)


def save_weight(folder, weight):
    weight.float().contiguous().numpy().astype("<f4").tofile(os.path.join(folder, "m.f32"))


def compressed_tensors(command, folder, bits=None, symmetric=None):
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor as Packed
    from compressed_tensors.quantization import QuantizationConfig

    if command == "read":
        with open(os.path.join(folder, "config.json")) as file:
            config = QuantizationConfig.model_validate(json.load(file)["quantization_config"])
        tensors = load_file(os.path.join(folder, "model.safetensors"))
        tensors = {name[2:]: value for name, value in tensors.items() if name.startswith("m.")}
        tensors["weight_scale"] = tensors["weight_scale"].float()
        weight = Packed.decompress(tensors, config.config_groups["group_0"])["weight"]
        save_weight(folder, weight)
        return
    weight, scales, zeros = sample(bits, symmetric)
    scheme = scheme_of(bits, symmetric)
    signed = (zeros - (1 << (bits - 1))).to(torch.int8)
    packed = Packed.compress({"weight": weight, "weight_scale": scales, "weight_zero_point": signed}, scheme)
    packed["weight_scale"] = packed["weight_scale"].half()
    config = QuantizationConfig(
        config_groups={"group_0": scheme}, format="pack-quantized", quantization_status="compressed",
        ignore=["lm_head"])
    save(folder, packed, json.loads(config.model_dump_json()), weight)


def auto_round(command, folder, bits=None, symmetric=None):
    from auto_round_extension.torch.qlinear_torch import QuantLinear as Plain
    from auto_round_extension.torch.qlinear_torch_zp import QuantLinear as MinusOne

    if command == "read":
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)["quantization_config"]
        tensors = load_file(os.path.join(folder, "model.safetensors"))
        bits, group = config["bits"], config["group_size"]
        inputs, outputs = tensors["m.qweight"].shape[0] * 32 // bits, tensors["m.qweight"].shape[1]
        kind = MinusOne if config["packing_format"] == "auto_round:auto_gptq" else Plain
        linear = kind(bits, group, inputs, outputs, bias=False)
        for part in ["qweight", "qzeros", "scales"]:
            setattr(linear, part, tensors["m." + part])
        linear.scales = linear.scales.float()
        save_weight(folder, linear.forward(torch.eye(inputs)).T)
        return
    weight, scales, zeros = sample(bits, symmetric)
    layer = torch.nn.Linear(INPUTS, OUTPUTS, bias=False)
    layer.weight.data = weight
    linear = (MinusOne if symmetric else Plain)(bits, GROUP, INPUTS, OUTPUTS, bias=False)
    linear.device = "cpu"
    pack = linear.pack_3bits if bits == 3 else linear.pack_248_bits
    pack(layer, scales, (1 << (bits - 1)) if symmetric else zeros, device="cpu")
    config = {
        "quant_method": "auto-round", "packing_format": "auto_round:auto_gptq" if symmetric else "auto_round",
        "bits": bits, "group_size": GROUP, "sym": symmetric, "data_type": "int",
    }
    save(folder, {p: getattr(linear, p) for p in ["qweight", "qzeros", "scales"]}, config, weight)


if __name__ == "__main__":
    library, command, *paths = sys.argv[1:]
    run = {"compressed-tensors": compressed_tensors, "auto-round": auto_round}[library]
    if command == "read":
        for path in paths:
            run("read", path)
    else:
        for bits in [2, 3, 4]:
            for symmetric in [True, False]:
                run("write", os.path.join(paths[0], f"{bits}-{str(symmetric).lower()}"), bits, symmetric)
