"""Safetensors files: every row of the table of what is refused and accepted, Formats/safetensors.md."""
import json
import struct

from catalogue import INSPECT, STATISTICS

FOLDER = "safetensors/"


def file(header, data=b"", length=None):
    """A file with a header given as text, bytes or an object."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode("utf-8")
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype="U8", shape=(1,), begin=0, end=1):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def one(fields, data=b"\0" * 4):
    """A file with one tensor `a`, its entry given as text."""
    return file('{"a":' + fields + "}", data)


def text(name, fields):
    return json.dumps(name) + ":" + json.dumps(fields, separators=(",", ":"))


def add_invalid(catalogue):
    def add(name, contents, *says, command=INSPECT):
        catalogue.add(FOLDER + name + ".safetensors", contents, command, says)

    add_frames(add)
    add_json(add)
    add_entries(add)
    add_layouts(add)
    add_other_kinds(catalogue)


def add_frames(add):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1234\n"
    add("empty-file", b"", "byte 0: needs 8 bytes, 0 are left")
    add("length-cut-short", b"\2\0\0", "byte 0: needs 8 bytes, 3 are left")
    add("header-of-0-bytes", file(""), "byte 0: header of 0 bytes")
    add("header-of-1-byte", file("{"), "byte 0: header of 1 bytes")
    add("header-past-the-end", file("{}", length=3), "byte 8: needs 3 bytes, 2 are left")
    add("header-of-100000001-bytes", file("{}", length=100_000_001), "byte 0: header of 100000001 bytes")
    add("header-of-2-to-63-bytes", file("{}", length=1 << 63), "byte 0: header of 9223372036854775808 bytes")
    add("header-of-2-to-64-minus-1-bytes", file("{}", length=(1 << 64) - 1), "byte 0: header of 18446744073709551615")
    add("git-lfs-pointer", pointer, "is a Git LFS pointer", "git lfs pull")
    add("zip-archive", b"PK\3\4\x14\0\0\0\10\0" + b"\0" * 40, "byte 0: header of")
    add("gguf-by-another-name", b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "key 'general.architecture' is missing")
    add("html-page", "<!DOCTYPE html><html><body>Not found</body></html>", "byte 0: header of")


def add_json(add):
    good = text("a", entry())
    add("byte-order-mark", file("\ufeff{" + good + "}", b"\0"), "byte 8: expected '{'")
    add("trailing-nul", file("{" + good + "}\0\0", b"\0"), "byte 61: there is text after the end of the value")
    add("text-after-header", file("{" + good + "} {}", b"\0"), "there is text after the end of the value")
    add("header-is-array", file("[]"), "byte 8: expected '{'")
    add("header-is-null", file("null"), "byte 8: expected '{'")
    add("header-is-string", file('"a"'), "byte 8: expected '{'")
    add("header-of-spaces", file("      "), "byte 14: expected '{'")
    add("header-not-closed", file("{" + good, b"\0"), "byte 60: expected ',' or '}'")
    add("key-not-closed", file('{"a'), "byte 9: the string that begins here does not end")
    add("trailing-comma", file("{" + good + ",}", b"\0"), "a key must be a string")
    add("single-quotes", file("{'a':1}"), "byte 9: a key must be a string")
    add("comment", file("{/* */" + good + "}", b"\0"), "byte 9: a key must be a string")
    add("invalid-utf8", file(b'{"\xff":{}}'), "byte 9: the string is not UTF-8")
    add("overlong-utf8", file(b'{"\xc0\xaf":{}}'), "byte 9: the string is not UTF-8")
    add("surrogate-in-utf8", file(b'{"\xed\xa0\x80":{}}'), "byte 9: the string is not UTF-8")
    add("lone-surrogate", file('{"\\ud800":{}}'), "byte 10: lone surrogate")
    add("lone-low-surrogate", file('{"\\udc00x":{}}'), "byte 10: lone surrogate")
    add("surrogate-before-a-letter", file('{"\\ud800\\u0041":{}}'), "byte 10: lone surrogate")
    add("bad-escape", file('{"\\x41":{}}'), "byte 10: no such escape")
    add("bad-unicode-escape", file('{"\\u00g1":{}}'), "expected a hexadecimal digit")
    add("raw-control-character", file('{"a\tb":{}}'), "byte 11: a control character in a string must be escaped")
    deep = '{"a":{"x":' + "[" * 200 + "]" * 200 + "}}"
    add("nesting-of-200", file(deep), "tensor 'a': nested deeper than 64")
    add("number-nan", one('{"dtype":"U8","shape":[NaN],"data_offsets":[0,4]}'), "tensor 'a': expected a number")
    add("metadata-is-array", file('{"__metadata__":[]}'), "byte 24: metadata: expected '{'")
    add("metadata-is-string", file('{"__metadata__":"pt"}'), "byte 24: metadata: expected '{'")
    add("metadata-value-is-number", file('{"__metadata__":{"a":1}}'), "byte 29: metadata: expected a string")
    add("metadata-value-is-null", file('{"__metadata__":{"a":null}}'), "byte 29: metadata: expected a string")
    add("duplicate-metadata", file('{"__metadata__":{},"__metadata__":{}}'), "byte 27: duplicate key '__metadata__'")
    add("duplicate-metadata-key", file('{"__metadata__":{"a":"","a":""}}'), "metadata: duplicate key 'a'")


def add_entries(add):
    def field(name, fields, *says):
        add(name, one(fields), "byte 9: tensor 'a': ", *says)

    def number(name, value, *says):
        add(name, one('{"dtype":"U8","shape":[' + value + '],"data_offsets":[0,4]}'), "tensor 'a': ", *says)

    field("entry-without-dtype", '{"shape":[4],"data_offsets":[0,4]}', "field 'dtype' is missing")
    field("entry-without-shape", '{"dtype":"U8","data_offsets":[0,4]}', "field 'shape' is missing")
    field("entry-without-offsets", '{"dtype":"U8","shape":[4]}', "field 'data_offsets' is missing")
    field("empty-entry", "{}", "field 'dtype' is missing")
    add("entry-is-array", one("[]"), "byte 13: tensor 'a': expected '{'")
    add("entry-is-null", one("null"), "byte 13: tensor 'a': expected '{'")
    field("unknown-dtype", '{"dtype":"F128","shape":[],"data_offsets":[0,4]}', "dtype 'F128'")
    field("lower-case-dtype", '{"dtype":"u8","shape":[4],"data_offsets":[0,4]}', "dtype 'u8'")
    add("dtype-is-number", one('{"dtype":8,"shape":[4],"data_offsets":[0,4]}'), "tensor 'a': expected a string")
    add("shape-is-number", one('{"dtype":"U8","shape":4,"data_offsets":[0,4]}'), "tensor 'a': expected '['")
    add("shape-is-null", one('{"dtype":"U8","shape":null,"data_offsets":[0,4]}'), "tensor 'a': expected '['")
    add("shape-nested", one('{"dtype":"U8","shape":[[4]],"data_offsets":[0,4]}'), "tensor 'a': expected a number")
    number("dimension-4.0", "4.0", "4.0 is not an integer from 0 to 2^63 - 1")
    number("dimension-negative", "-4", "-4 is not an integer")
    number("dimension-minus-zero", "-0", "-0 is not an integer")
    number("dimension-with-exponent", "4e0", "4e0 is not an integer")
    number("dimension-with-leading-zero", "04", "expected ',' or ']'")
    number("dimension-with-plus", "+4", "expected a number")
    number("dimension-is-string", '"4"', "expected a number")
    number("dimension-is-true", "true", "expected a number")
    number("dimension-2-to-63", "9223372036854775808", "9223372036854775808 is not an integer")
    number("dimension-2-to-63-beside-zero", "9223372036854775808,4,0", "9223372036854775808 is not an integer")
    number("dimension-zero-beside-2-to-63", "0,9223372036854775808,4", "9223372036854775808 is not an integer")
    number("dimension-of-300-digits", "9" * 300, "is not an integer from 0 to 2^63 - 1")
    field(
        "product-overflows", '{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,4]}',
        "shape [4294967296, 4294967296] of U8 is too large")
    field(
        "product-overflows-without-its-zero", '{"dtype":"U8","shape":[9223372036854775807,4,0],"data_offsets":[0,0]}',
        "is too large")
    field(
        "bits-overflow", '{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,4]}', "of F64 is too large")
    field("f4-of-odd-count", '{"dtype":"F4","shape":[7],"data_offsets":[0,4]}', "shape [7] of F4", "not whole bytes")
    field("f6-of-odd-bits", '{"dtype":"F6_E2M3","shape":[5],"data_offsets":[0,4]}', "shape [5] of F6_E2M3")
    field("offsets-of-3-numbers", '{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}', "data_offsets are 3 numbers")
    field("offsets-of-1-number", '{"dtype":"U8","shape":[4],"data_offsets":[4]}', "data_offsets are 1 numbers")
    field("offsets-backwards", '{"dtype":"U8","shape":[4],"data_offsets":[4,0]}', "end before they begin: [4, 0]")
    add("offset-negative", one('{"dtype":"U8","shape":[4],"data_offsets":[-4,0]}'), "-4 is not an integer")
    add("offset-2-to-63", one('{"dtype":"U8","shape":[4],"data_offsets":[0,9223372036854775808]}'), "is not an integer")
    field("span-too-small", '{"dtype":"U8","shape":[4],"data_offsets":[0,3]}', "is 4 bytes, data_offsets are 3")
    field("span-too-large", '{"dtype":"U8","shape":[3],"data_offsets":[0,4]}', "is 3 bytes, data_offsets are 4")
    field("span-past-the-end", '{"dtype":"U8","shape":[4],"data_offsets":[4,8]}', "needs 4 bytes, 0 are left")
    field(
        "span-near-2-to-63", '{"dtype":"U8","shape":[4],"data_offsets":[9223372036854775803,9223372036854775807]}',
        "needs 4 bytes, 0 are left")
    add("name-of-20000-letters", file('{"' + "n" * 20000 + '":{}}'), "tensor '" + "n" * 900, "field 'dtype' is missing")
    add("duplicate-field", one('{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}'), "duplicate key 'dtype'")
    add("terminal-escape-in-name", file('{"a\\u001b[2J\\u202e":{"dtype":"U8"}}'), "tensor 'a\\u{1b}[2J\\u{202e}'")


def add_layouts(add):
    def pair(first, second, name="b"):
        return "{" + text("a", first) + "," + text(name, second) + "}"

    same, other = entry(shape=[2], begin=0, end=2), entry(shape=[2], begin=2, end=4)
    add("duplicate-name-same-bytes", file(pair(same, same, "a"), b"\0" * 2), "duplicate key 'a'")
    add("duplicate-name-other-shape", file(pair(same, entry("U16", [1], 0, 2), "a"), b"\0" * 2), "duplicate key 'a'")
    add("duplicate-name-other-bytes", file(pair(same, other, "a"), b"\0" * 4), "duplicate key 'a'")
    escaped = "{" + text("a", same) + ',"\\u0061":' + json.dumps(other) + "}"
    add("duplicate-name-escaped", file(escaped, b"\0" * 4), "duplicate key 'a'")
    accents = "{" + text("\u00e9", same) + "," + text("e\u0301", other) + "}"
    add("duplicate-name-after-normalization", file(accents, b"\0" * 4), "duplicate key")
    many = {f"t{i}": entry(shape=[0], begin=0, end=0) for i in range(12)}
    many = "{" + ",".join(text(name, fields) for name, fields in many.items()) + "," + text("t3", entry()) + "}"
    add("duplicate-name-among-many", file(many, b"\0"), "duplicate key 't3'")
    add("overlapping-spans", file(pair(same, entry(shape=[2], begin=1, end=3)), b"\0" * 3), "tensor 'b': its bytes overlap")
    add("same-span-twice", file(pair(same, same), b"\0" * 2), "tensor 'b': its bytes overlap those of 'a'")
    add("span-inside-another", file(pair(entry(shape=[4], end=4), entry(begin=1, end=2)), b"\0" * 4), "overlap those of 'a'")
    add("empty-span-inside-another", file(pair(same, entry(shape=[0], begin=1, end=1)), b"\0" * 2), "overlap those of 'a'")
    ten = {f"t{i}": entry(shape=[4096], begin=0, end=4096) for i in range(10)}
    add("10-names-on-one-span", file(ten, b"\0" * 4096), "overlap those of")
    add("hole-between-tensors", file(pair(same, entry(shape=[2], begin=3, end=5)), b"\0" * 5), "tensor 'b': 1 bytes before it")
    add("hole-at-the-start", file({"a": entry(begin=1, end=2)}, b"\0" * 2), "tensor 'a': 1 bytes before it belong to no")
    add("extra-byte", file({"a": entry()}, b"\0" * 2), "1 bytes follow the last tensor")
    add("extra-byte-without-tensors", file("{}", b"\0"), "byte 10: 1 bytes follow the last tensor")
    add("data-too-short", file({"a": entry("F32", [2], 0, 8)}, b"\0" * 7), "tensor 'a': needs 8 bytes, 7 are left")
    add("data-missing", file({"a": entry("F32", [2], 0, 8)}), "tensor 'a': needs 8 bytes, 0 are left")


def add_other_kinds(catalogue):
    catalogue.add("other/pickle.bin", b"\x80\2}q\0.", INSPECT, ["pickle.bin: is a pickle"])
    catalogue.add("other/pickle.pt", b"PK\3\4" + b"\0" * 26, INSPECT, ["pickle.pt: is a pickle"])
    catalogue.add("other/text.txt", "weights\n", INSPECT, ["text.txt: is not a kind of checkpoint that is read"])
    catalogue.add("other/no-ending", b"\0" * 100, INSPECT, ["no-ending: is not a kind of checkpoint that is read"])


DTYPES = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


def add_odd(catalogue):
    def add(name, contents, *says, command=INSPECT):
        catalogue.add(FOLDER + name + ".safetensors", contents, command, says, code=0)

    add("empty-object", file("{}"), '"tensors": []')
    add("white-space-around-header", file(" \n\t{" + text("a", entry()) + "}\r\n  ", b"\0"), '"name": "a"')
    add("metadata-is-null", file('{"__metadata__":null}'), '"tensors": []')
    add("metadata-is-empty", file('{"__metadata__":{},"a":' + json.dumps(entry()) + "}", b"\0"), '"name": "a"')
    unknown = '{"a":{"dtype":"U8","shape":[1],"comment":{"x":[1.5e3,null]},"data_offsets":[0,1]}}'
    add("unknown-field", file(unknown, b"\0"), '"name": "a"')
    add("empty-name", file({"": entry()}, b"\0"), '"name": ""')
    add("control-characters-in-name", file('{"a\\u001b[2J\\u0000\\u202e":' + json.dumps(entry()) + "}", b"\0"), '"name"')
    add("control-characters-as-text", file('{"a\\u001b[2J\\u0000\\u202e":' + json.dumps(entry()) + "}", b"\0"),
        "a\\u{1b}[2J\\u{0}\\u{202e}", command=("inspect", "$FILE"))  # fmt: skip
    add("name-beyond-the-basic-plane", file('{"\\ud83d\\ude42":' + json.dumps(entry()) + "}", b"\0"), '"name"')
    misaligned = {"a": entry(), "b": entry("F32", [1], 1, 5)}
    add("misaligned-f32", file(misaligned, b"\0" + struct.pack("<f", 2.5)), '"max": 2.5', command=STATISTICS)
    add("bool-of-2", file({"a": entry("BOOL", [3], 0, 3)}, b"\0\1\2"), '"max": 2', command=STATISTICS)
    add("scalar-and-empty", file({"a": entry("F32", [], 0, 4), "b": entry("F64", [0, 7], 4, 4)}, b"\0" * 4), '"shape": []')
    add("zero-beside-2-to-62", file({"a": entry("U8", [0, 1 << 62], 0, 0)}), '"bytes": 0')
    add("names-out-of-order", file({"b": entry(begin=1, end=2), "a": entry(begin=0, end=1)}, b"\0\1"), '"name": "b"')
    tensors, end = {}, 0
    for dtype, bits in DTYPES.items():
        tensors[dtype] = entry(dtype, [8], end, end + bits)
        end += bits
    add("every-dtype", file(tensors, b"\1" * end), *[f'"dtype": "{dtype}"' for dtype in DTYPES], command=STATISTICS)
