"""Entries of a folder of fixtures, and the table of what is expected of them."""
import json
import os
import shutil

INSPECT = ("inspect", "$FILE", "--json")
STATISTICS = ("inspect", "$FILE", "--stats", "--json")
HASH = ("hash", "$FILE")
QUANTIZE = ("quantize", "$FILE", "$OUT", "--group-size", "32")
CONVERT = ("convert", "$FILE", "$OUT")
EVALUATE = ("eval", "$FILE", "--text", "$TEXT", "--window", "8", "--max-tokens", "16")


class Catalogue:
    """Files and folders below one root, by name, each with what is expected of it."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        self.entries = []

    def add(self, name, contents, command, says=(), code=2, over=None, without=(), beside=()):
        """Adds a file (bytes or text), or a folder (a dictionary of them)."""
        assert name not in [entry["name"] for entry in self.entries], name
        if isinstance(contents, dict):
            for part, text in contents.items():
                self.files[f"{name}/{part}"] = as_bytes(text)
        else:
            self.files[name] = as_bytes(contents)
        entry = {"name": name, "command": list(command), "code": code}
        if over:
            entry["over"] = over
        if without:
            entry["without"] = list(without)
        if beside:
            entry["beside"] = list(beside)
        entry["says"] = [says] if isinstance(says, str) else list(says)
        self.entries.append(entry)

    def write(self):
        shutil.rmtree(self.root, ignore_errors=True)
        for name, contents in self.files.items():
            path = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(contents)
        lines = [json.dumps(entry, ensure_ascii=True) for entry in sorted(self.entries, key=lambda e: e["name"])]
        with open(os.path.join(self.root, "expected.json"), "w", encoding="ascii") as file:
            file.write("[\n" + ",\n".join(lines) + "\n]\n")

    def __str__(self):
        size = sum(len(contents) for contents in self.files.values())
        return f"{self.root}: {len(self.entries)} entries, {len(self.files)} files, {size} bytes"


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")
