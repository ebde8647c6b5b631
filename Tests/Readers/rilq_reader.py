#!/usr/bin/env python3
"""Reads packed containers; written from Formats/container.md alone, to check that the document suffices.

    rilq_reader.py FILE                 prints what is in it as JSON, after reading and checking everything
    rilq_reader.py FILE --extract NAME  writes the raw bytes of a tensor or asset to standard output

Needs the standard library only. A file with zstd sections also needs one of: Python 3.14 (compression.zstd), the
`zstandard` module, or the `zstd` command on the path. As a module, `Container(path).array(name)` gives a numpy
array for types that numpy has.
"""

import hashlib
import json
import mmap
import struct
import subprocess
import sys
import unicodedata
import zlib

MAGIC = b"RILQ\r\n\x89\n"
END_MAGIC = b"QLIR\r\n\x89\n"
KINDS = {1: "tensor", 2: "asset", 3: "manifest"}
CODECS = {0: "raw", 1: "zlib", 2: "zstd"}
FILTERS = {0: "none", 2: "byte planes of 2", 4: "byte planes of 4"}
DTYPES = {
    1: ("BOOL", 8), 2: ("U8", 8), 3: ("I8", 8), 4: ("U16", 16), 5: ("I16", 16), 6: ("U32", 32),
    7: ("I32", 32), 8: ("U64", 64), 9: ("I64", 64), 10: ("F16", 16), 11: ("BF16", 16), 12: ("F32", 32),
    13: ("F64", 64), 14: ("C64", 64), 15: ("F8_E5M2", 8), 16: ("F8_E4M3", 8), 17: ("F8_E8M0", 8),
    18: ("F8_E4M3FNUZ", 8), 19: ("F8_E5M2FNUZ", 8), 20: ("F6_E2M3", 6), 21: ("F6_E3M2", 6), 22: ("F4", 4),
}  # fmt: skip

NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip


class Refused(Exception):
    """The file breaks a rule of the document."""


def require(condition, reason):
    if not condition:
        raise Refused(reason)


def unzstd(frame, size):
    try:
        from compression import zstd

        return zstd.decompress(frame)
    except ImportError:
        pass
    try:
        import zstandard

        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except ImportError:
        pass
    try:
        done = subprocess.run(["zstd", "-d", "-c", "-q"], input=frame, capture_output=True)
    except FileNotFoundError:
        sys.exit("a zstd section needs Python 3.14, the zstandard module or the zstd command")
    require(done.returncode == 0, "a block is no zstd frame")
    return done.stdout


def unzlib(stream, size):
    decoder = zlib.decompressobj()
    try:
        raw = decoder.decompress(stream, size + 1)
    except zlib.error as error:
        raise Refused(f"a block is no zlib stream: {error}") from None
    require(decoder.eof and not decoder.unused_data, "a block is not one zlib stream")
    return raw


def join_planes(planes, width):
    count = len(planes) // width
    raw = bytearray(len(planes))
    for p in range(width):
        raw[p::width] = planes[p * count : (p + 1) * count]
    return bytes(raw)


class Section:
    """A record of the table of contents."""

    def __init__(self, table, start):
        require(start + 64 <= len(table), "the table ends inside a record")
        (kind, dtype, codec, flt, rank, zero, name_length, self.block_size, zero2, self.offset, self.raw_size) = (
            struct.unpack_from("<6BH2I2Q", table, start)
        )
        require(kind in KINDS, f"unknown kind {kind}")
        require(codec in CODECS, f"unknown codec {codec}")
        require(flt in FILTERS, f"unknown filter {flt}")
        require(zero == 0 and zero2 == 0, "a byte of a record must be zero")
        require(rank <= 8, f"rank {rank}")
        require(64 <= self.block_size <= 1 << 24 and self.block_size % 64 == 0, f"block size {self.block_size}")
        require(self.offset < 1 << 63 and self.raw_size < 1 << 63, "a size is beyond 2^63")
        self.kind, self.codec, self.filter = KINDS[kind], CODECS[codec], flt
        self.digest = bytes(table[start + 32 : start + 64])
        at = start + 64
        require(at + 8 * rank + name_length <= len(table), "the table ends inside a record")
        self.shape = list(struct.unpack_from(f"<{rank}Q", table, at))
        at += 8 * rank
        try:
            self.name = bytes(table[at : at + name_length]).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("a name is not UTF-8") from None
        at += name_length
        self.dtype_code, self.dtype = dtype, None
        self.check_kind(dtype, rank)
        count = -(-self.raw_size // self.block_size)
        require(8 * count <= len(table) - at, "the table ends inside a record")
        self.blocks = list(struct.iter_unpack("<2I", table[at : at + 8 * count]))
        for i, (stored, _) in enumerate(self.blocks):
            raw = self.raw_length(i)
            fits = stored == raw if self.codec == "raw" else stored >= 1 and raw <= stored * 65536
            require(fits, f"{self.name!r}: {raw} bytes in {stored}")
        self.end_of_record = at + 8 * count

    def check_kind(self, dtype, rank):
        if self.kind == "tensor":
            require(dtype in DTYPES, f"unknown dtype {dtype}")
            self.dtype, bits = DTYPES[dtype]
            for dimension in self.shape:
                require(dimension < 1 << 63, "a dimension is beyond 2^63")
                bits *= dimension
            require(bits == 8 * self.raw_size, f"{self.name!r}: the raw size is not that of the shape")
            require(self.filter == 0 or self.codec != "raw", "a filter without a codec")
        else:
            require(dtype == 0 and rank == 0 and self.filter == 0, f"{self.kind} with dtype, rank or filter")
        if self.kind == "asset":
            parts = self.name.split("/")
            require(not any(part in ("", ".", "..") for part in parts), f"asset name {self.name!r}")
            require("\\" not in self.name and "\0" not in self.name, f"asset name {self.name!r}")
        if self.kind == "manifest":
            require(self.name == "", "the manifest has a name")
            require(self.raw_size <= 1 << 26, "the manifest is too large")
        require(self.raw_size % max(1, self.filter) == 0, "the raw size is not whole elements")

    def raw_length(self, block):
        return min(self.block_size, self.raw_size - block * self.block_size)

    @property
    def stored_size(self):
        return sum(stored for stored, _ in self.blocks)


class Container:
    """An open file whose header, trailer, table and manifest are good."""

    def __init__(self, path):
        with open(path, "rb") as file:
            require(file.seek(0, 2) >= 144, "the file is too short")
            self.file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.read_header()
        self.read_table(self.read_trailer())
        manifest = json.loads(self.raw(self.sections[-1]).decode("utf-8"), object_pairs_hook=unique_keys)
        require(isinstance(manifest, dict), "the manifest is no object")
        self.quantization = manifest.pop("quantization", {})
        self.adapter = manifest.pop("adapter", None)
        self.metadata = manifest.pop("metadata", {})
        self.check_manifest()
        require(not manifest.keys() & self.metadata.keys(), "a key is in the manifest and its metadata")
        self.metadata.update(manifest)

    def read_header(self):
        header = self.file[:64]
        require(header[:8] == MAGIC, "not a rilq container")
        require(zlib.crc32(header[:60]) == struct.unpack_from("<I", header, 60)[0], "header checksum")
        major, _, zero, features = struct.unpack_from("<HHIQ", header, 8)
        require(major == 1, f"major version {major}")
        require(features == 0, f"required features {features:#x}")
        require(zero == 0 and not any(header[24:60]), "the header must be zero there")

    def read_trailer(self):
        trailer = self.file[-80:]
        require(trailer[72:] == END_MAGIC, "the trailer has no magic")
        require(zlib.crc32(trailer[:68]) == struct.unpack_from("<I", trailer, 68)[0], "trailer checksum")
        offset, size, file_size, count, crc = struct.unpack_from("<3Q2I", trailer)
        self.content_digest = trailer[32:64]
        require(trailer[64:68] == bytes(4), "the trailer must be zero there")
        require(file_size == len(self.file), "wrong file size")
        require(offset >= 64 and offset % 64 == 0 and offset + size == file_size - 80, "the table is misplaced")
        require(count <= 1 << 24 and 64 * count <= size, "too many sections")
        return offset, size, count, crc

    def read_table(self, where):
        offset, size, count, crc = where
        table = self.file[offset : offset + size]
        require(zlib.crc32(table) == crc, "table checksum")
        self.sections, at = [], 0
        for _ in range(count):
            section = Section(table, at)
            at = section.end_of_record
            self.sections.append(section)
        require(at == size, "bytes after the last record")
        order = [["tensor", "asset", "manifest"].index(section.kind) for section in self.sections]
        require(order == sorted(order) and order.count(2) == 1, "sections out of order")
        end = 64
        for section in self.sections:
            require(section.offset == -(-end // 64) * 64, f"{section.name!r} is misplaced")
            end = section.offset + section.stored_size
            require(end <= offset, f"{section.name!r} runs into the table")
        require(offset == -(-end // 64) * 64, "the table is misplaced")
        self.index = {}
        for section in self.sections:
            key = (section.kind, unicodedata.normalize("NFC", section.name))
            require(key not in self.index, f"two sections {section.name!r}")
            self.index[key] = section

    def check_manifest(self):
        require(isinstance(self.quantization, dict) and isinstance(self.metadata, dict), "manifest")
        for name, entry in self.quantization.items():
            keys = {"bits", "group_size"}
            require(isinstance(entry, dict) and set(entry) - {"grid"} == keys, f"quantization of {name!r}")
            if entry.get("grid") == "portable":
                require(entry["bits"] == 2, f"grid of {name!r}")
            elif "grid" in entry and entry["grid"] not in ("zero_point", "symmetric"):
                numbers = {"q2_k": (2, 16), "q3_k": (3, 16), "q4_k": (4, 32), "q5_k": (5, 32), "q6_k": (6, 16), "iq2_xs": (2, 16), "iq2_s": (2, 16)}.get(entry["grid"])
                require(numbers == (entry["bits"], entry["group_size"]), f"grid of {name!r}")
            require(entry["bits"] in (2, 3, 4, 5, 6, 8) and is_positive(entry["group_size"]), f"quantization of {name!r}")
        if self.adapter is not None:
            require(isinstance(self.adapter, dict) and set(self.adapter) == {"kind", "rank", "alpha"}, "adapter")
            require(self.adapter["kind"] in ("dense", "pooled") and is_positive(self.adapter["rank"]), "adapter")
            require(abs(float(self.adapter["alpha"])) < float("inf"), "adapter")

    def raw(self, section):
        """The raw bytes of a section, checked."""
        end = section.offset + section.stored_size
        require(not any(self.file[end : -(-end // 64) * 64]), f"{section.name!r}: padding is not zero")
        at, parts = section.offset, []
        for i, (stored, crc) in enumerate(section.blocks):
            block, size = self.file[at : at + stored], section.raw_length(i)
            at += stored
            require(zlib.crc32(block) == crc, f"{section.name!r}, block {i}: checksum")
            if section.codec == "zlib":
                block = unzlib(block, size)
            elif section.codec == "zstd":
                block = unzstd(block, size)
            require(len(block) == size, f"{section.name!r}, block {i}: wrong size")
            parts.append(join_planes(block, section.filter) if section.filter else block)
        raw = b"".join(parts)
        require(hashlib.sha256(raw).digest() == section.digest, f"{section.name!r}: digest")
        return raw

    def named(self, name):
        name = unicodedata.normalize("NFC", name)
        section = self.index.get(("tensor", name)) or self.index.get(("asset", name))
        require(section is not None, f"no section {name!r}")
        return section

    def array(self, name):
        """A tensor as a numpy array; BF16 comes as float32, other types that numpy lacks as bytes."""
        import numpy

        section = self.named(name)
        raw = self.raw(section)
        if section.dtype == "BF16":
            bits = numpy.frombuffer(raw, "<u2").astype("<u4") << 16
            return bits.view("<f4").reshape(section.shape)
        code = NUMPY.get(section.dtype)
        return numpy.frombuffer(raw, code).reshape(section.shape) if code else raw

    def computed_content_digest(self):
        digest = hashlib.sha256(b"rilq content 1\n")

        def add_name(name):
            digest.update(struct.pack("<I", len(name.encode())) + name.encode())

        for kind in ("tensor", "asset"):
            chosen = sorted((s for s in self.sections if s.kind == kind), key=lambda s: s.name.encode())
            digest.update(struct.pack("<I", len(chosen)))
            for section in chosen:
                add_name(section.name)
                if kind == "tensor":
                    digest.update(bytes([section.dtype_code, len(section.shape)]))
                    digest.update(struct.pack(f"<{len(section.shape)}Q", *section.shape))
                digest.update(section.digest)
        digest.update(struct.pack("<I", len(self.quantization)))
        for name in sorted(self.quantization, key=str.encode):
            add_name(name)
            entry = self.quantization[name]
            digest.update(struct.pack("<IQ", entry["bits"], entry["group_size"]))
            if "grid" in entry:
                add_name(entry["grid"])
        if self.adapter is None:
            digest.update(b"\0")
        else:
            kind = {"dense": 1, "pooled": 2}[self.adapter["kind"]]
            digest.update(struct.pack("<BQd", kind, self.adapter["rank"], self.adapter["alpha"]))
        return digest.digest()


def is_positive(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def unique_keys(pairs):
    keys = [key for key, _ in pairs]
    require(len(keys) == len(set(keys)), "a key of the manifest is repeated")
    return dict(pairs)


def describe(container):
    sections = []
    for section in container.sections:
        sections.append({
            "kind": section.kind, "name": section.name, "dtype": section.dtype, "shape": section.shape,
            "codec": section.codec, "filter": section.filter, "blocks": len(section.blocks),
            "sha256": hashlib.sha256(container.raw(section)).hexdigest(),
        })  # fmt: skip
    require(container.computed_content_digest() == container.content_digest, "content digest")
    return {
        "content_digest": container.content_digest.hex(),
        "sections": sections,
        "quantization": container.quantization,
        "adapter": container.adapter,
        "metadata": container.metadata,
    }


def main(arguments):
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--extract"):
        sys.exit(__doc__)
    try:
        container = Container(arguments[0])
        if len(arguments) == 3:
            sys.stdout.buffer.write(container.raw(container.named(arguments[2])))
        else:
            json.dump(describe(container), sys.stdout, sort_keys=True)
            print()
    except (Refused, ValueError) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
