#!/usr/bin/env python3
"""Other programs' 2-bit quantization of a checkpoint's linears, for `two-bit.sh`; the rest of the checkpoint stays as it is.

hqq: half-quadratic quantization without data, groups of 64 along the input. What the library dequantizes to is written as a
folder in F16, its own precision. Needs hqq, torch, safetensors.

autoround: 2 bits, asymmetric, groups of 64, tuned on the first windows of a text; written as AutoRound does. Needs auto-round,
torch, transformers.

autoround-gguf: Q2_K_S, written as one GGUF file, for rows of a multiple of 256; not tuned unless --iterations says so, as
AutoRound recommends for GGUF. Its bits_per_weight is null. Needs gguf and sentencepiece, too.

llama-cpp: Q2_0, from a GGUF file with matrices in BF16. The other 2-bit types need rows of a multiple of 256 and fall back to 4
bits for narrower models. Needs llama-cpp-python.

Prints one JSON object: bits_per_weight, of a quantized weight as the program stores it, tables included, and peak_memory_bytes.
usage: two_bit_peers.py hqq CHECKPOINT OUTPUT-FOLDER
       two_bit_peers.py autoround CHECKPOINT OUTPUT-FOLDER TEXT [--iterations N] [--windows N] [--length N]
       two_bit_peers.py autoround-gguf CHECKPOINT OUTPUT.gguf TEXT [--iterations N] [--windows N] [--length N]
       two_bit_peers.py llama-cpp INPUT.gguf OUTPUT.gguf CHECKPOINT
"""
import argparse
import json
import math
import pathlib
import re
import resource
import shutil
import tempfile

BITS, GROUP = 2, 64
# Not among the names of llama-cpp-python.
GGML_TYPE_BF16 = 30
LINEAR = re.compile(r"model\.layers\.\d+\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj\.weight")


def headers(folder):
    """The header of every safetensors file, by its path."""
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        with open(path, "rb") as file:
            yield path, json.loads(file.read(int.from_bytes(file.read(8), "little")))


def hqq(checkpoint, output):
    import torch
    from hqq.core.quantize import HQQLinear, hqq_base_quant_config
    from safetensors.torch import load_file, save_file

    def quantized(weight):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data = weight.float()
        config = hqq_base_quant_config(nbits=BITS, group_size=GROUP, axis=1)
        return HQQLinear(linear, config, compute_dtype=torch.float16, device="cpu")

    shutil.copytree(checkpoint, output, ignore=shutil.ignore_patterns("*.safetensors"))
    stored = count = 0
    for path in sorted(pathlib.Path(checkpoint).glob("*.safetensors")):
        tensors = load_file(path)
        for name in filter(LINEAR.fullmatch, tensors):
            linear = quantized(tensors[name])
            stored += sum(x.nbytes for x in (linear.W_q, linear.meta["scale"], linear.meta["zero"]))
            count += tensors[name].numel()
            tensors[name] = linear.dequantize().contiguous()
        save_file(tensors, pathlib.Path(output) / path.name, {"format": "pt"})
    return stored * 8 / count


def tuning(checkpoint, text, iterations, windows, length, **settings):
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokens = tokenizer(pathlib.Path(text).read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    tokens = torch.tensor(tokens[: len(tokens) // length * length]).reshape(-1, length)[:windows]
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    return AutoRound(
        model, tokenizer, iters=iterations, dataset=list(tokens.split(1)), nsamples=len(tokens), seqlen=length,
        batch_size=8, device_map="cpu", **settings)


def autoround_gguf(checkpoint, output, text, iterations, windows, length):
    tuned = tuning(checkpoint, text, iterations, windows, length, scheme="gguf:q2_k_s")
    with tempfile.TemporaryDirectory(dir=pathlib.Path(output).parent) as parts:
        tuned.quantize_and_save(parts, format="gguf:q2_k_s")
        (file,) = pathlib.Path(parts).rglob("*.gguf")
        file.rename(output)


def autoround(checkpoint, output, text, iterations, windows, length):
    tuned = tuning(
        checkpoint, text, iterations, windows, length, scheme="W2A16", bits=BITS, group_size=GROUP, sym=False)
    # It makes a folder of its own in the one it is given.
    with tempfile.TemporaryDirectory(dir=pathlib.Path(output).parent) as parts:
        tuned.quantize_and_save(parts, format="auto_round")
        (folder,) = (path.parent for path in pathlib.Path(parts).rglob("config.json"))
        folder.rename(output)
    stored = count = 0
    for _, header in headers(output):
        for name, tensor in header.items():
            if name.endswith((".qweight", ".qzeros", ".scales")):
                stored += tensor["data_offsets"][1] - tensor["data_offsets"][0]
            if name.endswith(".qweight"):
                count += math.prod(tensor["shape"]) * 32 // BITS
    return stored * 8 / count


def llama_cpp(source, output, checkpoint):
    import llama_cpp as library

    parameters = library.llama_model_quantize_default_params()
    parameters.ftype = library.LLAMA_FTYPE_MOSTLY_Q2_0
    parameters.token_embedding_type = parameters.output_tensor_type = GGML_TYPE_BF16
    if library.llama_model_quantize(source.encode(), output.encode(), parameters) != 0:
        raise SystemExit(f"llama.cpp does not quantize {source}")
    count = sum(
        math.prod(tensor["shape"]) for _, header in headers(checkpoint) for name, tensor in header.items()
        if LINEAR.fullmatch(name))
    # Only the linears have another width in the output.
    saved = pathlib.Path(source).stat().st_size - pathlib.Path(output).stat().st_size
    return 16 - saved * 8 / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    programs = parser.add_subparsers(required=True)
    program = programs.add_parser("hqq")
    program.set_defaults(run=hqq)
    program.add_argument("checkpoint")
    program.add_argument("output")
    for name, run, iterations in (("autoround", autoround, 100), ("autoround-gguf", autoround_gguf, 0)):
        program = programs.add_parser(name)
        program.set_defaults(run=run)
        program.add_argument("checkpoint")
        program.add_argument("output")
        program.add_argument("text")
        program.add_argument("--iterations", type=int, default=iterations)
        program.add_argument("--windows", type=int, default=64)
        program.add_argument("--length", type=int, default=512)
    program = programs.add_parser("llama-cpp")
    program.set_defaults(run=llama_cpp)
    program.add_argument("source")
    program.add_argument("output")
    program.add_argument("checkpoint")
    arguments = vars(parser.parse_args())
    bits = arguments.pop("run")(**arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"bits_per_weight": bits, "peak_memory_bytes": peak}))


main()
