"""Writes Sources/Checkpoints/LatticePoints.swift: the tables of IQ2_XS and IQ2_S, from the `gguf` package."""

import pathlib
import zlib

import gguf
import numpy as np
from gguf.quants import IQ2_S, IQ2_XS


def points(quant):
    """Each point as a word: the indices of its 8 magnitudes, two bits each, the first value in the lowest."""
    assert quant.grid_map == (0x08, 0x19, 0x2B)
    words = np.frombuffer(bytes.fromhex(quant.grid_hex.decode()), "<u2")
    assert len(words) == quant.grid_shape[0] == len(set(words))
    return words


def table(name, description, words):
    checksum = zlib.crc32(words.tobytes())
    lines = [f"  /// {description}", "  ///", f"  /// CRC-32 of the words as little-endian bytes: {checksum:08x}."]
    lines.append(f"  package static let {name}: [UInt16] = [")
    for start in range(0, len(words), 12):
        lines.append("    " + " ".join(f"0x{word:04x}," for word in words[start : start + 12]))
    return lines + ["  ]"]


lines = [
    "/// The points of llama.cpp's lattice tables, by index: each a word with the indices of its 8 magnitudes in",
    "/// 8, 25 and 43, two bits each, the first value in the lowest.",
    "///",
    "/// Constants of the GGUF format, written by `Scripts/make-lattice-tables.py` from the `gguf` package.",
    "package enum LatticePoints {",
    *table("iq2XS", "The 512 points of IQ2_XS.", points(IQ2_XS)),
    "",
    *table("iq2S", "The 1,024 points of IQ2_S.", points(IQ2_S)),
    "}",
]
target = pathlib.Path(__file__).parent.parent / "Sources/Checkpoints/LatticePoints.swift"
target.write_text("\n".join(lines) + "\n")
