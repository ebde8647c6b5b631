"""Packed containers, Formats/container.md: every field of header, trailer, table and manifest wrong once."""
import hashlib
import json
import struct
import zlib

from catalogue import CONVERT, HASH, INSPECT, QUANTIZE

FOLDER = "container/"
TENSOR, ASSET, MANIFEST = 1, 2, 3
U8, U32, BF16, F32 = 2, 6, 11, 12
RAW, ZLIB, ZSTD = 0, 1, 2
BLOCK = 1 << 20
WIDTHS = {U8: 1, U32: 4, BF16: 2, F32: 4}


class Section:
    """A section to be written; `stored` are its encoded blocks, by default one block of the raw bytes."""

    def __init__(self, kind, name, raw, dtype=0, shape=(), codec=RAW, stored=None, **fields):
        self.kind, self.raw, self.dtype, self.codec = kind, raw, dtype, codec
        self.name = name.encode("utf-8") if isinstance(name, str) else name
        self.shape = list(shape)
        self.stored = ([raw] if raw else []) if stored is None else stored
        self.fields = {"raw_size": len(raw), "block": BLOCK, "filter": 0, "rank": len(self.shape), **fields}

    def record(self, offset):
        f = self.fields
        fixed = struct.pack(
            "<6BHIIQQ", self.kind, self.dtype, self.codec, f["filter"], f["rank"], 0, len(self.name), f["block"], 0,
            f.get("offset", offset), f["raw_size"])  # fmt: skip
        record = fixed + hashlib.sha256(self.raw).digest() + b"".join(struct.pack("<Q", d) for d in self.shape) + self.name
        for block in self.stored:
            record += struct.pack("<II", len(block), zlib.crc32(block))
        return record


class Container:
    """The bytes of a container, where its records are, and edits that keep the checksums right."""

    def __init__(self, sections):
        self.bytes = bytearray(b"RILQ\r\n\x89\n" + struct.pack("<HHIQ", 1, 0, 0, 0) + bytes(40))
        records = []
        self.offsets = []
        for section in sections:
            self.pad()
            self.offsets.append(len(self.bytes))
            records.append(section.record(len(self.bytes)))
            self.bytes += b"".join(section.stored)
        self.pad()
        self.table = len(self.bytes)
        self.records = []
        for record in records:
            self.records.append(len(self.bytes))
            self.bytes += record
        self.trailer = len(self.bytes)
        size = self.trailer - self.table
        self.bytes += struct.pack("<QQQII", self.table, size, self.trailer + 80, len(sections), 0)
        self.bytes += content_digest(sections) + bytes(8) + b"QLIR\r\n\x89\n"
        self.seal()

    def pad(self):
        self.bytes += bytes(-len(self.bytes) % 64)

    def seal(self):
        """Computes the checksums of header, table and trailer again."""
        start = self.trailer
        struct.pack_into("<I", self.bytes, 60, zlib.crc32(self.bytes[:60]))
        struct.pack_into("<I", self.bytes, start + 28, zlib.crc32(self.bytes[self.table : start]))
        struct.pack_into("<I", self.bytes, start + 68, zlib.crc32(self.bytes[start : start + 68]))

    def with_field(self, offset, form, value, seal=True):
        struct.pack_into("<" + form, self.bytes, offset, value)
        if seal:
            self.seal()
        return bytes(self.bytes)


def content_digest(sections):
    """The digest of what the file holds, where the manifest is one that can be read."""

    def name(text):
        return struct.pack("<I", len(text)) + text

    text = b"rilq content 1\n"
    for kind in (TENSOR, ASSET):
        chosen = sorted((s for s in sections if s.kind == kind), key=lambda s: s.name)
        text += struct.pack("<I", len(chosen))
        for section in chosen:
            text += name(section.name)
            if kind == TENSOR:
                shape = b"".join(struct.pack("<Q", dimension) for dimension in section.shape)
                text += bytes([section.dtype, len(section.shape)]) + shape
            text += hashlib.sha256(section.raw).digest()
    text += struct.pack("<I", 0) + b"\0"
    return hashlib.sha256(text).digest()


def codes():
    """Module `m`: a row of 32 two-bit codes in one group."""
    return [
        Section(TENSOR, "m.weight", bytes.fromhex("e41b50fa8d72af05"), U32, [1, 2]),
        Section(TENSOR, "m.scales", bytes.fromhex("803d"), BF16, [1, 1]),
        Section(TENSOR, "m.biases", bytes.fromhex("c0bd"), BF16, [1, 1]),
    ]


MODULES = {"quantization": {"m": {"bits": 2, "group_size": 32}}}


def manifest(text=None, **fields):
    text = MODULES if text is None else text
    text = text if isinstance(text, (str, bytes)) else json.dumps(text, separators=(",", ":"))
    return Section(MANIFEST, "", text if isinstance(text, bytes) else text.encode("utf-8"), **fields)


def asset(name="config.json", raw=b'{"model_type": "example"}\n', **fields):
    return Section(ASSET, name, raw, **fields)


def sample():
    return Container([*codes(), asset(), manifest()])


def with_manifest(text):
    return bytes(Container([*codes(), manifest(text)]).bytes)


def with_sections(*sections):
    return bytes(Container(sections).bytes)


def frame(blocks, size=None, header=0xE0):
    """A zstd frame of blocks (type, count, bytes); the content size has 8 bytes unless the header says otherwise."""
    text = struct.pack("<IB", 0xFD2FB528, header)
    if size is not None:
        text += struct.pack("<Q", size)
    for i, (kind, count, content) in enumerate(blocks):
        text += struct.pack("<I", (i + 1 == len(blocks)) | kind << 1 | count << 3)[:3] + content
    return text


def raw_frame(content, size=None):
    return frame([(0, len(content), content)], len(content) if size is None else size)


def run_frame(count, size=None):
    """Zeros, 4 bytes for each 128 KiB."""
    blocks = [(1, min(1 << 17, count - at), b"\0") for at in range(0, count, 1 << 17)]
    return frame(blocks, count if size is None else size)


def add_invalid(catalogue):
    def add(name, contents, *says, command=INSPECT):
        catalogue.add(FOLDER + name + ".rilq", contents, command, says)

    add_frame(add)
    add_trailer(add)
    add_records(add)
    add_sections(add)
    add_blocks(add)
    add_manifests(add)
    add_modules(add)


def add_frame(add):
    whole = bytes(sample().bytes)
    add("empty-file", b"", "needs 144 bytes, 0 are left")
    add("magic-only", whole[:8], "needs 144 bytes, 8 are left")
    add("header-only", whole[:64], "needs 144 bytes, 64 are left")
    add("cut-in-half", whole[: len(whole) // 2], "trailer: the magic is wrong")
    add("last-byte-missing", whole[:-1], "trailer: the magic is wrong")
    add("extra-byte", whole + b"\0", "trailer: the magic is wrong")
    add("extra-64-bytes", whole + bytes(64), "trailer: the magic is wrong")
    add("two-files-in-one", whole + whole, "trailer: the file has")
    add("wrong-magic", b"RILZ" + whole[4:], "byte 0: header: is not a rilq container")
    add("text-mode-transfer", whole.replace(b"\r\n", b"\n", 1), "byte 4: header: the magic is damaged")
    add("eighth-bit-lost", whole[:6] + b"\x09" + whole[7:], "byte 4: header: the magic is damaged")
    add("header-checksum", sample().with_field(60, "I", 1, seal=False), "byte 60: header: checksum is")
    add("major-version-0", sample().with_field(8, "H", 0), "byte 8: header: major version 0")
    add("major-version-2", sample().with_field(8, "H", 2), "byte 8: header: major version 2")
    add("required-feature-0", sample().with_field(16, "Q", 1), "byte 16: header: required feature bit 0")
    add("required-feature-63", sample().with_field(16, "Q", 1 << 63), "byte 16: header: required feature bit 63")
    add("nonzero-beside-version", sample().with_field(12, "I", 1), "byte 12: header: must be zero")
    add("nonzero-in-header", sample().with_field(59, "B", 1), "byte 59: header: must be zero")


def add_trailer(add):
    def field(name, offset, form, value, *says):
        container = sample()
        add(name, container.with_field(container.trailer + offset, form, value), *says)

    start = sample().trailer
    table = sample().table
    misplaced = ("trailer: a table of", "does not end at the trailer")
    field("table-offset-0", 0, "Q", 0, *misplaced)
    field("table-offset-too-small", 0, "Q", table - 64, *misplaced)
    field("table-offset-2-to-64-minus-64", 0, "Q", (1 << 64) - 64, *misplaced)
    field("table-size-too-small", 8, "Q", start - table - 1, *misplaced)
    field("table-size-2-to-64-minus-1", 8, "Q", (1 << 64) - 1, *misplaced)
    field("file-size-too-large", 16, "Q", start + 81, f"byte {start + 16}: trailer: the file has {start + 80} bytes")
    field("file-size-2-to-63", 16, "Q", 1 << 63, "trailer: the file has")
    field("section-count-0", 24, "I", 0, "table of contents: has bytes after its last record")
    field("one-section-less", 24, "I", 4, "table of contents: has bytes after its last record")
    field("one-section-more", 24, "I", 6, "record: needs 64 bytes, 0 are left")
    field("section-count-2-to-32-minus-1", 24, "I", (1 << 32) - 1, "trailer: 4294967295 sections in a table of")
    field("nonzero-in-trailer", 64, "I", 1, "trailer: must be zero")
    container = sample()
    add("table-checksum", damaged(container, container.records[0] + 40), "table of contents: checksum is")
    container = sample()
    add("trailer-checksum", damaged(container, start + 40), "trailer: checksum is")
    add("trailer-magic", damaged(sample(), start + 72), f"byte {start + 72}: trailer: the magic is wrong")


def damaged(container, offset):
    container.bytes[offset] ^= 0x10
    return bytes(container.bytes)


def add_records(add):
    """Single fields of records: of `m.weight`, of `config.json`, of the manifest."""

    def field(name, record, offset, form, value, *says):
        container = sample()
        add(name, container.with_field(container.records[record] + offset, form, value), *says)

    weight, config, last = 0, 3, 4
    here = f"byte {sample().table}: "
    field("kind-0", weight, 0, "B", 0, here, "section kind 0 is not supported")
    field("kind-4", weight, 0, "B", 4, here, "section kind 4 is not supported")
    field("dtype-0", weight, 1, "B", 0, "tensor 'm.weight': dtype 0 is not supported")
    field("dtype-23", weight, 1, "B", 23, "tensor 'm.weight': dtype 23 is not supported")
    field("dtype-of-another-size", weight, 1, "B", BF16, "tensor 'm.weight': raw size is 8, BF16 [1, 2] has 4")
    field("codec-3", weight, 2, "B", 3, here, "codec 3 is not supported")
    field("filter-1", weight, 3, "B", 1, here, "filter 1 is not supported")
    field("filter-of-raw-bytes", weight, 3, "B", 2, "tensor 'm.weight': filter 2")
    field("rank-9", weight, 4, "B", 9, here, "rank 9")
    field("rank-255", weight, 4, "B", 255, here, "rank 255")
    field("rank-too-small", weight, 4, "B", 1, "is 8, U32 [1] has 4")
    field("nonzero-in-record", weight, 5, "B", 1, here, "must be zero")
    field("nonzero-beside-block-size", weight, 12, "I", 1, here, "must be zero")
    field("name-past-the-table", weight, 6, "H", 65535, here, "name: needs 65535 bytes")
    field("name-not-utf8", weight, 80, "B", 0xFF, here, "the name is not UTF-8")
    field("block-size-0", weight, 8, "I", 0, "tensor 'm.weight': block size is 0")
    field("block-size-65", weight, 8, "I", 65, "tensor 'm.weight': block size is 65")
    field("block-size-over-16-mib", weight, 8, "I", (1 << 24) + 64, "tensor 'm.weight': block size is 16777280")
    field("block-size-2-to-32-minus-64", weight, 8, "I", (1 << 32) - 64, "tensor 'm.weight': block size is 4294967232")
    field("offset-in-the-header", weight, 16, "Q", 0, "tensor 'm.weight': begins at 0, not after byte 64")
    field("offset-after-a-hole", weight, 16, "Q", 128, "tensor 'm.weight': begins at 128, not after byte 64")
    field("offset-not-aligned", 1, 16, "Q", 72, "tensor 'm.scales': begins at 72, not after byte 72")
    field("overlapping-sections", 1, 16, "Q", 64, "tensor 'm.scales': begins at 64, not after byte 72")
    field("offset-2-to-63", weight, 16, "Q", 1 << 63, "offset 9223372036854775808 is beyond 2^63")
    field("offset-2-to-63-minus-64", weight, 16, "Q", (1 << 63) - 64, "begins at 9223372036854775744")
    field("raw-size-too-large", weight, 24, "Q", 12, "tensor 'm.weight': raw size is 12, U32 [1, 2] has 8")
    field("raw-size-2-to-63", weight, 24, "Q", 1 << 63, "raw size 9223372036854775808 is beyond 2^63")
    field("dimension-too-large", weight, 64, "Q", 2, "tensor 'm.weight': raw size is 8, U32 [2, 2] has 16")
    field("dimension-2-to-62", weight, 64, "Q", 1 << 62, "tensor 'm.weight': shape", "overflows")
    field("dimension-2-to-63", weight, 64, "Q", 1 << 63, "dimension 9223372036854775808 is beyond 2^63")
    field("dimension-2-to-64-minus-1", weight, 64, "Q", (1 << 64) - 1, "dimension 18446744073709551615 is beyond")
    field("stored-size-0", weight, 88, "I", 0, "tensor 'm.weight', block 0: 8 bytes are said to be stored in 0")
    field("stored-size-2-to-32-minus-1", weight, 88, "I", (1 << 32) - 1, "said to be stored in 4294967295")
    field("asset-with-dtype", config, 1, "B", U8, "asset 'config.json': dtype and rank must be zero")
    field("asset-with-filter", config, 3, "B", 2, "asset 'config.json': filter 2")
    field("asset-of-2-to-62-bytes", config, 24, "Q", 1 << 62, "asset 'config.json': needs")
    field("manifest-with-dtype", last, 1, "B", U8, "manifest: dtype and rank must be zero")
    field("manifest-over-64-mib", last, 24, "Q", (1 << 26) + 1, "manifest: has 67108865 bytes, more than 64 MiB")
    field("manifest-as-asset", last, 0, "B", ASSET, "the name is not a path inside a folder")
    huge = Section(TENSOR, "t", b"", U8, [1 << 41], raw_size=1 << 41)
    add("tensor-of-2-to-41-bytes", with_sections(huge, manifest("{}")), "tensor 't': needs 16777216 bytes")


def add_sections(add):
    def one(name):
        return asset(name, b"x")

    tensor = Section(TENSOR, "t", b"x", U8, [1])
    escape = "the name is not a path inside a folder"
    add("no-manifest", with_sections(tensor), "the manifest is missing")
    add("no-sections", with_sections(), "the manifest is missing")
    add("two-manifests", with_sections(manifest(), manifest()), "manifest: is out of order")
    add("manifest-first", with_sections(manifest(), tensor), "tensor 't': is out of order")
    add("tensor-behind-asset", with_sections(one("a"), tensor, manifest()), "tensor 't': is out of order")
    add("manifest-with-a-name", with_sections(Section(MANIFEST, "m", b"{}")), "manifest: has a name")
    add("duplicate-tensor", with_sections(tensor, tensor, manifest("{}")), "tensor 't': there are two of this name")
    accents = [Section(TENSOR, name, b"x", U8, [1]) for name in ("\u00e9", "e\u0301")]
    add("duplicate-after-normalization", with_sections(*accents, manifest("{}")), "there are two of this name")
    add("duplicate-asset", with_sections(one("a"), one("a"), manifest("{}")), "asset 'a': there are two of this name")
    for name, path in {
        "dot-dot": "../config.json", "dot-dot-inside": "a/../../b", "absolute": "/etc/passwd", "dot": "./config.json",
        "empty": "", "empty-part": "a//b", "closing-slash": "a/", "backslash": "..\\config.json", "nul": "a\0b",
    }.items():  # fmt: skip
        add(f"asset-{name}", with_sections(one(path), manifest("{}")), escape)
    both = with_sections(one("a"), one("a/b"), manifest("{}"))
    add("asset-inside-an-asset", both, "asset 'a/b': ", "asset 'a'", command=CONVERT)
    hostile = with_sections(tensor, one("model.safetensors"), manifest("{}"))
    add("asset-named-like-weights", hostile, "asset 'model.safetensors'", command=CONVERT)
    container = Container([tensor, manifest("{}")])
    container.bytes[container.offsets[0] + 1] = 1
    add("nonzero-padding", bytes(container.bytes), "byte 65: tensor 't': the bytes after it must be zero", command=HASH)
    container = Container([tensor, manifest("{}")])
    container.bytes[container.offsets[1] + 2] = 1
    add("nonzero-padding-after-manifest", bytes(container.bytes), "manifest: the bytes after it must be zero")


def add_blocks(add):
    zeros = bytes(4096)

    def block(name, codec, stored, *says, raw=zeros, dtype=U8, **fields):
        tensor = Section(TENSOR, "t", raw, dtype, [len(raw) // WIDTHS[dtype]], codec, stored, **fields)
        add(name, with_sections(tensor, manifest("{}")), "tensor 't'", *says, command=HASH)

    wrong = "does not decompress to its 4096 bytes"
    good = zlib.compress(zeros)
    block("zlib-garbage", ZLIB, [b"not a zlib stream"], wrong)
    block("zlib-cut-short", ZLIB, [good[:-1]], wrong)
    block("zlib-with-a-rest", ZLIB, [good + b"\0"], wrong)
    block("zlib-yields-less", ZLIB, [zlib.compress(zeros[1:])], wrong)
    block("zlib-yields-more", ZLIB, [zlib.compress(zeros + b"\0")], wrong)
    block("zlib-bomb", ZLIB, [zlib.compress(bytes(1 << 22), 9)], wrong)
    block("zlib-wrong-adler", ZLIB, [good[:-1] + b"\7"], wrong)
    block("gzip-for-zlib", ZLIB, [b"\x1f\x8b\x08" + bytes(20)], wrong)
    block("zstd-garbage", ZSTD, [b"not a zstd frame"], wrong)
    block("zstd-cut-short", ZSTD, [raw_frame(zeros)[:-1]], wrong)
    block("zstd-with-a-rest", ZSTD, [run_frame(4096) + b"\0"], wrong)
    block("zstd-two-frames", ZSTD, [run_frame(2048) + run_frame(2048)], wrong)
    block("zstd-skippable-frame", ZSTD, [struct.pack("<II", 0x184D2A50, 8) + bytes(8)], wrong)
    block("zstd-size-not-stated", ZSTD, [frame([(1, 4096, b"\0")], header=0x00)[:5] + b"\x58" + frame([(1, 4096, b"\0")])[5:]], wrong)
    block("zstd-states-more", ZSTD, [run_frame(4096, 1 << 40)], wrong)
    block("zstd-states-less", ZSTD, [run_frame(4096, 16)], wrong)
    block("zstd-yields-less", ZSTD, [run_frame(2048, 4096)], wrong)
    block("zstd-yields-more", ZSTD, [run_frame(1 << 20, 4096)], wrong)
    block("zstd-bomb", ZSTD, [run_frame(1 << 30)], wrong)
    dictionary = struct.pack("<IBB", 0xFD2FB528, 0xE1, 7) + frame([(1, 4096, b"\0")], 4096)[5:]
    block("zstd-with-dictionary", ZSTD, [dictionary], wrong)
    block("codec-mixed-up", ZSTD, [good], wrong)
    block("planes-of-odd-size", ZSTD, [run_frame(3)], "3 bytes are not whole elements of 2", raw=bytes(3), filter=2)
    block("expands-65537-times", ZSTD, [bytes(255)], "said to be stored in 255", raw=bytes(1 << 24), block=1 << 24)
    container = Container([Section(TENSOR, "t", b"0123456789abcdef", U8, [16]), manifest("{}")])
    changed = damaged(container, container.offsets[0] + 3)
    add("block-checksum", changed, "byte 64: tensor 't', block 0: checksum is", command=HASH)
    container = Container([Section(TENSOR, "t", b"0123456789abcdef", U8, [16]), manifest("{}")])
    add("digest", container.with_field(container.records[0] + 32, "Q", 0), "tensor 't': checksum is", command=HASH)
    container = Container([Section(TENSOR, "t", b"0123456789abcdef", U8, [16]), manifest("{}")])
    content = container.with_field(container.trailer + 32, "Q", 0)
    add("content-digest", content, "content digest: checksum is", command=HASH)
    container = Container([manifest('{"metadata":{"a":1}}')])
    add("manifest-checksum", damaged(container, container.offsets[0] + 3), "manifest, block 0: checksum is")
    stored = Section(MANIFEST, "", bytes(1 << 20), codec=ZSTD, stored=[run_frame(1 << 30)])
    add("manifest-bomb", with_sections(stored), "manifest, block 0: does not decompress to its 1048576 bytes")


def add_manifests(add):
    def text(name, value, *says):
        add("manifest-" + name, with_manifest(value), "manifest: ", *says)

    def module(name, value, *says):
        text(name, {"quantization": {"m": value}}, "quantization of 'm'", *says)

    def adapter(name, value, *says):
        text(name, {**MODULES, "adapter": value}, *says)

    text("empty", "", "the text ends where a value should be")
    text("not-json", "quantization: 2", "byte 0: no value begins")
    text("cut-short", '{"quantization":{"m"', "expected ':'")
    text("is-array", "[]", "is not an object")
    text("is-null", "null", "is not an object")
    text("with-a-rest", "{}{}", "there is text after the end of the value")
    text("byte-order-mark", "\ufeff{}", "byte 0: no value begins with this byte")
    text("not-utf8", b'{"metadata":{"a":"\xff"}}', "the string is not UTF-8")
    text("lone-surrogate", '{"metadata":{"a":"\\ud800"}}', "lone surrogate")
    text("duplicate-key", '{"metadata":{},"metadata":{}}', "duplicate key 'metadata'")
    text("nesting-of-65", '{"metadata":' + "[" * 65 + "]" * 65 + "}", "nested deeper than 64")
    text("quantization-is-array", {"quantization": []}, "'quantization' is not an object")
    text("metadata-is-array", {"metadata": []}, "'metadata' is not an object")
    text("key-twice", {"origin": 1, "metadata": {"origin": 2}}, "'origin' is there twice")
    module("module-is-number", 2, "is not an object")
    module("bits-7", {"bits": 7, "group_size": 32}, "'bits' is not 2, 3, 4, 5, 6 or 8")
    module("bits-as-text", {"bits": "2", "group_size": 32}, "'bits' is not 2, 3, 4, 5, 6 or 8")
    module("bits-2.0", {"bits": 2.0, "group_size": 32}, "'bits' is not 2, 3, 4, 5, 6 or 8")
    module("bits-missing", {"group_size": 32}, "'bits' is not 2, 3, 4, 5, 6 or 8")
    module("group-size-0", {"bits": 2, "group_size": 0}, "'group_size' is not a positive integer")
    module("group-size-negative", {"bits": 2, "group_size": -32}, "'group_size' is not a positive integer")
    module("group-size-2-to-63", {"bits": 2, "group_size": 1 << 63}, "'group_size' is not a positive integer")
    module("group-size-missing", {"bits": 2}, "'group_size' is not a positive integer")
    module("unknown-key", {"bits": 2, "group_size": 32, "zeros": 1}, "has an unknown key 'zeros'")
    adapter("adapter-is-text", "pooled", "'adapter' is not an object")
    adapter("adapter-kind", {"kind": "sparse", "rank": 1, "alpha": 1}, "unknown adapter kind 'sparse'")
    adapter("adapter-kind-missing", {"rank": 1, "alpha": 1}, "'adapter' has no 'kind'")
    adapter("adapter-rank-0", {"kind": "dense", "rank": 0, "alpha": 1}, "'rank' is not a positive integer")
    adapter("adapter-rank-1.5", {"kind": "dense", "rank": 1.5, "alpha": 1}, "'rank' is not a positive integer")
    adapter("adapter-alpha-text", {"kind": "dense", "rank": 1, "alpha": "1"}, "'alpha' is not a finite number")
    infinite = '{"adapter":{"kind":"dense","rank":1,"alpha":1e999}}'
    text("adapter-alpha-1e999", infinite, "'adapter': 'alpha' is not a finite number")
    adapter("adapter-unknown-key", {"kind": "dense", "rank": 1, "alpha": 1, "rslora": 1}, "an unknown key 'rslora'")


def add_modules(add):
    def tensors(name, sections, text, *says):
        add("module-" + name, with_sections(*sections, manifest(text)), *says)

    def tensor(name, dtype, shape):
        count = 1
        for dimension in shape:
            count *= dimension
        return Section(TENSOR, name, bytes(count * WIDTHS[dtype]), dtype, shape)

    def parameters(bits=2, size=32):
        return {"quantization": {"m": {"bits": bits, "group_size": size}}}

    weight, scales, biases = codes()
    tensors("without-codes", [scales, biases], parameters(), "tensor 'm.weight' is missing")
    tensors("without-scales", [weight, biases], parameters(), "tensor 'm.scales' is missing")
    tensors("without-biases", [weight, scales], parameters(), "tensor 'm.biases' is missing")
    tensors("of-f32-codes", [tensor("m.weight", F32, [1, 2]), scales, biases], parameters(), "is F32 [1, 2]; codes are U32")
    tensors("of-3-dimensions", [tensor("m.weight", U32, [1, 1, 2]), scales, biases], parameters(), "codes are U32 of 2")
    tensors("of-u8-scales", [weight, tensor("m.scales", U8, [1, 1]), biases], parameters(), "is U8, not F16, BF16 or F32")
    tensors("of-another-shape", [weight, scales, tensor("m.biases", BF16, [1, 2])], parameters(), "expected [1, 1]")
    tensors("of-larger-groups", codes(), parameters(size=64), "are not whole groups of 64 2-bit codes")
    tensors("of-other-bits", codes(), parameters(bits=4), "2 words per row are not whole groups of 32 4-bit codes")
    tensors("of-groups-of-2-to-62", codes(), parameters(size=1 << 62), "groups of 4611686018427387904 columns")
    tensors("of-2-to-61-words", [Section(TENSOR, "m.weight", b"", U32, [0, 1 << 61]), tensor("m.scales", BF16, [0, 1]),
            tensor("m.biases", BF16, [0, 1])], parameters(), "tensor 'm.weight': 2305843009213693952 words per row")  # fmt: skip
    lora = [tensor("n.weight", F32, [4, 8]), tensor("n.lora_A.weight", F32, [2, 8]), tensor("n.lora_B.weight", F32, [4, 2])]
    pooled = {"adapter": {"kind": "pooled", "rank": 2, "alpha": 2}}
    dense = {"adapter": {"kind": "dense", "rank": 2, "alpha": 2}}
    tensors("adapter-not-described", lora, {}, "module 'n': what its adapter means")
    tensors("adapter-without-tensors", codes(), {**MODULES, **dense}, "the tensors of the adapter")
    tensors("adapter-without-a", lora[:1] + lora[2:], dense, "tensor 'n.lora_A.weight' is missing")
    tensors("adapter-without-b", lora[:2], dense, "tensor 'n.lora_B.weight' is missing")
    tensors("adapter-without-weight", lora[1:], dense, "tensor 'n.weight' is missing")
    tensors("adapter-of-another-rank", lora, {"adapter": {"kind": "dense", "rank": 3, "alpha": 2}}, "expected [3, 8]")
    tensors("adapter-pooled-without-groups", lora, pooled, "module 'n'")
    delta = tensor("n.scales_delta", F32, [1, 1])
    tensors("change-of-a-dense-module", [*lora[:1], delta], {}, "tensor 'n.scales_delta': module 'n' is not quantized")
    change = tensor("m.biases_delta", F32, [2, 1])
    tensors("change-of-another-shape", [*codes(), change], parameters(), "tensor 'm.biases_delta'", "expected [1, 1]")
    short = tensor("m.scales_delta", BF16, [1, 1])
    tensors("change-of-bf16", [*codes(), short], parameters(), "tensor 'm.scales_delta': is BF16, not F32")


def add_odd(catalogue):
    def add(name, contents, *says, command=INSPECT):
        catalogue.add(FOLDER + name + ".rilq", contents, command, says, code=0)

    add("minor-version-7", sample().with_field(10, "H", 7), '"name": "m.weight"')
    add("only-a-manifest", with_sections(manifest("{}")), '"tensors": []')
    add("manifest-with-unknown-key", with_manifest({**MODULES, "origin": {"a": 1}}), '"origin"')
    add("manifest-with-white-space", with_manifest(" \n" + json.dumps(MODULES, indent=2) + "\n "), '"group_size": 32')
    empty = [Section(TENSOR, "e", b"", F32, [0, 5]), asset("empty", b"")]
    add("empty-sections", with_sections(*empty, manifest("{}")), "content", command=HASH)
    codecs = [
        Section(TENSOR, "zlib", bytes(200), U8, [200], ZLIB, [zlib.compress(bytes(128)), zlib.compress(bytes(72))], block=128),
        Section(TENSOR, "zstd", bytes(200), U8, [200], ZSTD, [run_frame(128), raw_frame(bytes(72))], block=128),
        Section(TENSOR, "planes", bytes(200), BF16, [100], ZSTD, [run_frame(200)], filter=2),
        Section(TENSOR, "", b"x", U8, [1, 1, 1, 1, 1, 1, 1, 1]),
        asset("deep/er/\u00fcn\u00efcode", b"x", codec=ZLIB, stored=[zlib.compress(b"x")]),
    ]
    add("every-codec", with_sections(*codecs, manifest("{}", codec=ZSTD, stored=[raw_frame(b"{}")])), "content", command=HASH)
