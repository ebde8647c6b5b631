"""Makes a Llama checkpoint in bfloat16, sharded, of pseudo-random weights; only for measuring.

usage: large_checkpoint.py FOLDER GIGABYTES
       large_checkpoint.py FOLDER --shapes llama-2-7b|llama-3-8b [--layers N]

With a size in gigabytes the shapes are those of Llama 3 8B, and the number of layers follows from the size.
With --shapes and without --layers the model has all its layers.

A block of 64 MB, seeded, is repeated with another start for each piece of a tensor, so that no two tensors, nor
two rows of one, are equal, and every byte is really on disk. Weights have a root mean square of 0.025 with a few
larger ones, norms are spread around 1, as in a trained model, so that activations neither vanish nor explode.
"""

import argparse
import json
import os
import random
import struct

# hidden size, intermediate size, heads, key-value heads, layers, vocabulary, base of the rotary embedding
SHAPES = {
    "llama-2-7b": (4096, 11008, 32, 32, 32, 32000, 10000.0),
    "llama-3-8b": (4096, 14336, 32, 8, 32, 128256, 500000.0),
}
SHARD_BYTES = 5_000_000_000
BLOCK_BYTES = 64 << 20


def layer_tensors(shapes, layer):
    hidden, intermediate, heads, key_value_heads = shapes[:4]
    prefix = f"model.layers.{layer}."
    attention = hidden // heads * key_value_heads
    return [
        (prefix + "input_layernorm.weight", [hidden]),
        (prefix + "mlp.down_proj.weight", [hidden, intermediate]),
        (prefix + "mlp.gate_proj.weight", [intermediate, hidden]),
        (prefix + "mlp.up_proj.weight", [intermediate, hidden]),
        (prefix + "post_attention_layernorm.weight", [hidden]),
        (prefix + "self_attn.k_proj.weight", [attention, hidden]),
        (prefix + "self_attn.o_proj.weight", [hidden, hidden]),
        (prefix + "self_attn.q_proj.weight", [hidden, hidden]),
        (prefix + "self_attn.v_proj.weight", [attention, hidden]),
    ]


def byte_count(shape):
    count = 2
    for size in shape:
        count *= size
    return count


def end_tensors(shapes):
    hidden, vocabulary = shapes[0], shapes[5]
    return [("model.embed_tokens.weight", [vocabulary, hidden]), ("lm_head.weight", [vocabulary, hidden])]


def all_tensors(shapes, layers):
    embedding, head = end_tensors(shapes)
    tensors = [embedding]
    for layer in range(layers):
        tensors += layer_tensors(shapes, layer)
    return tensors + [("model.norm.weight", [shapes[0]]), head]


def shapes_of_size(target):
    """The shapes of Llama 3 8B, and the number of layers that gives about `target` bytes."""
    shapes = SHAPES["llama-3-8b"]
    if target < 8e9:
        # A smaller model has the vocabulary of Llama 2, or it would be mostly embeddings.
        shapes = shapes[:5] + (32000,) + shapes[6:]
    per_layer = sum(byte_count(shape) for _, shape in layer_tensors(shapes, 0))
    ends = sum(byte_count(shape) for _, shape in end_tensors(shapes))
    return shapes, max(1, round((target - ends) / per_layer))


def random_block():
    """bfloat16 of about 0.002 to 0.12 in size, both signs: as compressible as real weights, roughly."""
    rng = random.Random(1)
    low, high = rng.randbytes(BLOCK_BYTES // 2), rng.randbytes(BLOCK_BYTES // 2)
    # Sign and upper seven bits of the exponent; its lowest bit is in the low byte.
    upper = [0x3B] * 40 + [0x3C] * 79 + [0x3D] * 9
    table = bytes(upper + [value | 0x80 for value in upper])
    block = bytearray(BLOCK_BYTES)
    block[0::2] = low
    block[1::2] = high.translate(table)
    return memoryview(bytes(block) * 2)


def norm_bytes(name, count):
    """bfloat16 of a log-normal distribution around 1."""
    rng = random.Random(name)
    return b"".join(struct.pack("<f", rng.lognormvariate(0, 0.4))[2:] for _ in range(count))


def write_shard(path, tensors, block, start):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + byte_count(shape)]}
        end += byte_count(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors:
            if len(shape) == 1:
                file.write(norm_bytes(name, shape[0]))
                continue
            left = byte_count(shape)
            while left > 0:
                start = (start + 1_000_006) % BLOCK_BYTES
                count = min(left, BLOCK_BYTES)
                file.write(block[start : start + count])
                left -= count
        file.flush()
        os.fsync(file.fileno())
    return start


def configuration(shapes, layers):
    hidden, intermediate, heads, key_value_heads, _, vocabulary, theta = shapes
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": hidden,
        "intermediate_size": intermediate, "num_attention_heads": heads, "num_key_value_heads": key_value_heads,
        "num_hidden_layers": layers, "vocab_size": vocabulary, "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5, "rope_theta": theta, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("gigabytes", nargs="?", type=float)
    parser.add_argument("--shapes", choices=SHAPES)
    parser.add_argument("--layers", type=int)
    parsed = parser.parse_args()
    if (parsed.gigabytes is None) == (parsed.shapes is None):
        parser.error("either a number of gigabytes or --shapes")
    if parsed.layers is not None and (parsed.shapes is None or parsed.layers < 1):
        parser.error("--layers is a number above 0, beside --shapes")
    return parsed


def main():
    options = arguments()
    if options.shapes:
        shapes = SHAPES[options.shapes]
        layers = options.layers or shapes[4]
    else:
        shapes, layers = shapes_of_size(options.gigabytes * 1e9)
    os.makedirs(options.folder)
    tensors = all_tensors(shapes, layers)
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
        start = write_shard(os.path.join(options.folder, name), shard, block, start)
        places.update({tensor: name for tensor, _ in shard})
    total = sum(byte_count(shape) for _, shape in tensors)
    with open(os.path.join(options.folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": places}, file)
    with open(os.path.join(options.folder, "config.json"), "w") as file:
        json.dump(configuration(shapes, layers), file, indent=2)


main()
