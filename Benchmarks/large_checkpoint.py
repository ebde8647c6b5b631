"""Makes a Llama checkpoint of a given size in bfloat16, sharded, of pseudo-random weights; only for measuring.

usage: large_checkpoint.py FOLDER GIGABYTES

The widths are those of an 8B model; the number of layers follows from the size. A block of 64 MB, seeded, is
repeated with another start for each tensor, so that no two tensors are equal and every byte is really on disk.
"""

import json
import os
import random
import struct
import sys

HIDDEN, INTERMEDIATE, HEADS, KEY_VALUE_HEADS = 4096, 14336, 32, 8
SHARD_BYTES = 5_000_000_000
BLOCK_BYTES = 64 << 20


def layer_tensors(layer):
    prefix = f"model.layers.{layer}."
    attention = HIDDEN // HEADS * KEY_VALUE_HEADS
    return [
        (prefix + "input_layernorm.weight", [HIDDEN]),
        (prefix + "mlp.down_proj.weight", [HIDDEN, INTERMEDIATE]),
        (prefix + "mlp.gate_proj.weight", [INTERMEDIATE, HIDDEN]),
        (prefix + "mlp.up_proj.weight", [INTERMEDIATE, HIDDEN]),
        (prefix + "post_attention_layernorm.weight", [HIDDEN]),
        (prefix + "self_attn.k_proj.weight", [attention, HIDDEN]),
        (prefix + "self_attn.o_proj.weight", [HIDDEN, HIDDEN]),
        (prefix + "self_attn.q_proj.weight", [HIDDEN, HIDDEN]),
        (prefix + "self_attn.v_proj.weight", [attention, HIDDEN]),
    ]


def byte_count(shape):
    count = 2
    for size in shape:
        count *= size
    return count


def all_tensors(target):
    # From 8 GB on the vocabulary, and so the largest tensor, is that of Llama 3; smaller models have Llama 2's.
    vocabulary = 128256 if target >= 8e9 else 32000
    ends = [("model.embed_tokens.weight", [vocabulary, HIDDEN]), ("lm_head.weight", [vocabulary, HIDDEN])]
    per_layer = sum(byte_count(shape) for _, shape in layer_tensors(0))
    layers = max(1, round((target - sum(byte_count(shape) for _, shape in ends)) / per_layer))
    tensors = [ends[0]]
    for layer in range(layers):
        tensors += layer_tensors(layer)
    return tensors + [("model.norm.weight", [HIDDEN]), ends[1]], layers, vocabulary


def random_block():
    """bfloat16 of about 0.005 to 0.06 in size, both signs: as compressible as real weights, roughly."""
    rng = random.Random(1)
    low, high = rng.randbytes(BLOCK_BYTES // 2), rng.randbytes(BLOCK_BYTES // 2)
    # Sign and upper seven bits of the exponent; its lowest bit is in the low byte.
    upper = [0x3B] * 16 + [0x3C] * 80 + [0x3D] * 32
    table = bytes(upper + [value | 0x80 for value in upper])
    block = bytearray(BLOCK_BYTES)
    block[0::2] = low
    block[1::2] = high.translate(table)
    return memoryview(bytes(block) * 2)


def write_shard(path, tensors, block, start):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + byte_count(shape)]}
        end += byte_count(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, shape in tensors:
            left = byte_count(shape)
            start = (start + 1_000_006) % BLOCK_BYTES
            while left > 0:
                count = min(left, BLOCK_BYTES)
                file.write(block[start : start + count])
                left -= count
        file.flush()
        os.fsync(file.fileno())
    return start


def main():
    folder, gigabytes = sys.argv[1], float(sys.argv[2])
    os.makedirs(folder)
    tensors, layers, vocabulary = all_tensors(gigabytes * 1e9)
    shards, size = [[]], 0
    for name, shape in tensors:
        if size and size + byte_count(shape) > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += byte_count(shape)
    block, start, places = random_block(), 0, {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        start = write_shard(os.path.join(folder, name), shard, block, start)
        places.update({tensor: name for tensor, _ in shard})
    total = sum(byte_count(shape) for _, shape in tensors)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": places}, file)
    configuration = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_attention_heads": HEADS, "num_key_value_heads": KEY_VALUE_HEADS,
        "num_hidden_layers": layers, "vocab_size": vocabulary, "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(configuration, file, indent=2)


main()
