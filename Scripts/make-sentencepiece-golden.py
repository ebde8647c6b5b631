#!/usr/bin/env python3
"""Makes Fixtures/sentencepiece/ with sentencepiece 0.2.3 and protobuf.

NAME.model    small models, trained on Fixtures/tiny-llama/calibration.txt
golden.json   texts, and the ids and pieces that each model gives for them

usage: python3 Scripts/make-sentencepiece-golden.py
"""

import json
import re
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protobuf

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "Fixtures" / "sentencepiece"
CORPUS = ROOT / "Fixtures" / "tiny-llama" / "calibration.txt"

# Rules like those of nmt_nfkc, which alone has 237 KB: compatibility forms, control characters, white space.
RULES = [
    ("\t", " "), ("\n", " "), ("\r", " "), ("\u00a0", " "), ("\u3000", " "), ("\u200b", ""), ("\x07", ""),
    ("ﬁ", "fi"), ("ﬀ", "ff"), ("Ａ", "A"), ("ｂ", "b"), ("…", "..."), ("e\u0301", "é"), ("¨", " \u0308"),
    ("½", "1⁄2"), ("ab", "b  a"),
]  # fmt: skip

COMMON = dict(num_threads=1, character_coverage=1.0, minloglevel=2, input_sentence_size=0)
SYMBOLS = dict(control_symbols=["[INST]", "[/INST]"], user_defined_symbols=["<|tool|>", "\u2581\u2581\u2581", "LORD"])
MODELS = {
    # As Llama 2 and Mistral.
    "bpe": dict(
        model_type="bpe", vocab_size=480, byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, character_coverage=0.999, **SYMBOLS,
    ),
    # Rules, unknown characters without bytes, spaces removed, pieces that are not used.
    "bpe-rules": dict(model_type="bpe", vocab_size=320, character_coverage=0.999, unused=True),
    # Pieces over several words.
    "bpe-phrases": dict(
        model_type="bpe", vocab_size=400, split_by_whitespace=False, add_dummy_prefix=False,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
    ),
    "unigram": dict(
        model_type="unigram", vocab_size=560, byte_fallback=True, character_coverage=0.999, **SYMBOLS,
    ),
    "unigram-suffix": dict(
        model_type="unigram", vocab_size=300, treat_whitespace_as_suffix=True, character_coverage=0.999,
        normalization_rule_name="identity", unused=True,
    ),
}  # fmt: skip

TEXTS = [
    "", " ", "  ", "   ", "    ", "a", " a", "a ", "  a  ", "\n", "\n\n", "\t", "\t\tx", "\r\n", " \n ", "x\r\ny",
    "Hello, world!", "In the beginning God created the heaven and the earth.",
    "And the earth was without form, and void;  and darkness\n\twas upon the face of the deep.",
    "the LORD thy God", "LORDLORD LORDs", "the<|tool|>the <|tool|> x", "<|tool|>", "[INST] the [/INST]", "<s>the</s>",
    "<unk>", "<0x0A>", "\u2581the\u2581\u2581earth", "a\u2581", "a   b    c     d", "   LORD   ", "word " * 20,
    "naïve café", "e\u0301 é", "ﬁre oﬀ ½ … Ａｂ", "¨ ab abab xab aba", "\u00a0x\u00a0", "x\u3000\u3000y", "a\u200bb",
    "\x07bell", "中文字符", "日本語のテキスト", "🙂🙂 👨‍👩‍👧 🇩🇪", "中a文b", "Ω≈ç√∫", "١٢٣ 456", "\u202eabc", "\ufeffx", "\u2028",
    "def f(x):\n    return x * 2  # twice\n", "<html>&amp;</html>", "1234567890 3.14159 1e-10", "aaaaaaaaaaaaaaaa",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "unto unto,unto;unto:unto", "\u0000x", "x\u0000", "Zürich, Ærø, ſ ß ẞ", "ﷺ",
]  # fmt: skip


def train(name, options, folder):
    options = dict(COMMON, **options)
    unused = options.pop("unused", False)
    if "normalization_rule_name" not in options:
        rules = folder / "rules.tsv"
        lines = (
            " ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target)
            for source, target in RULES
        )
        rules.write_text("\n".join(lines) + "\n")
        options["normalization_rule_tsv"] = str(rules)
    sentences = re.split(r"(?<=[.;:]) ", CORPUS.read_text(encoding="utf-8").replace("\n", " "))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / name), **options
    )
    model = protobuf.ModelProto()
    model.ParseFromString((folder / f"{name}.model").read_bytes())
    model.trainer_spec.ClearField("model_prefix")
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    if unused:
        for piece in model.pieces:
            if piece.type == piece.NORMAL and piece.piece in ("th", "the", "▁the", "and", "▁and", "▁unto", "and▁"):
                piece.type = piece.UNUSED
    return model.SerializeToString(deterministic=True)


def main():
    OUT.mkdir(exist_ok=True)
    golden = {}
    for name, options in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            model = train(name, options, Path(folder))
        (OUT / f"{name}.model").write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        golden[name] = [processor.encode(text) for text in TEXTS]
    document = {"texts": TEXTS, "ids": golden}
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    (OUT / "golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
