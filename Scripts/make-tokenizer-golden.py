"""Makes `Fixtures/tokenizers/`: four small tokenizers of SentencePiece's kind, and what `tokenizers` makes of texts.

Usage: make-tokenizer-golden.py FAMILIES, a folder that `tokenizers/NAME/tokenizer.json` and
`golden/tokenizer-NAME.json` are in. Needs tokenizers 0.23.
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer

NAMES = ["llama2", "llama2-metaspace", "phi3", "gemma"]

families = pathlib.Path(sys.argv[1])
target = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "tokenizers"
target.mkdir(exist_ok=True)


def write(name, document):
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    (target / name).write_text(text + "\n", encoding="utf-8")


golden = {}
texts = None
for name in NAMES:
    document = json.loads((families / "tokenizers" / name / "tokenizer.json").read_text(encoding="utf-8"))
    write(f"{name}.json", document)
    tokenizer = Tokenizer.from_file(str(target / f"{name}.json"))
    old = json.loads((families / "golden" / f"tokenizer-{name}.json").read_text(encoding="utf-8"))
    texts = [entry["text"] for entry in old["strings"]]
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    golden[name] = {
        "prefix": tokenizer.encode("").ids,
        "ids": ids,
        "decoded": [tokenizer.decode(x, skip_special_tokens=False) for x in ids],
        "sequences": [
            [x["ids"], tokenizer.decode(x["ids"], skip_special_tokens=False)] for x in old["decoded_sequences"]
        ],
    }
write("golden.json", {"texts": texts, "tokenizers": golden})
