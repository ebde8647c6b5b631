"""Writes Sources/Checkpoints/LatticePoints.swift: the tables of the IQ types, from the `gguf` package."""

import pathlib
import zlib

import gguf
import numpy as np
from gguf.quants import IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS


def points(quant, *numbers):
    """Each point as a word: the indices of its weights in `numbers`, the first in the lowest bits."""
    assert quant.grid_map == numbers
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


TWO_BITS = (8, 25, 43)
lines = [
    "/// The points of llama.cpp's lattice tables, by index.",
    "///",
    "/// Each is a word with the indices of its weights, or of their magnitudes, the first in the lowest bits. Points",
    "/// of 8 weights have two bits for each, points of 4 have four.",
    "///",
    "/// Constants of the GGUF format, written by `Scripts/make-lattice-tables.py` from the `gguf` package.",
    "package enum LatticePoints {",
    *table("iq2XXS", "The 256 points of IQ2_XXS, of magnitudes 8, 25 and 43.", points(IQ2_XXS, *TWO_BITS)),
    "",
    *table("iq2XS", "The 512 points of IQ2_XS, of magnitudes 8, 25 and 43.", points(IQ2_XS, *TWO_BITS)),
    "",
    *table("iq2S", "The 1,024 points of IQ2_S, of magnitudes 8, 25 and 43.", points(IQ2_S, *TWO_BITS)),
    "",
    *table(
        "iq3XXS",
        "The 256 points of IQ3_XXS: magnitudes 4, 12, 20, 28, 36, 44, 52 and 62, four to a point.",
        points(IQ3_XXS, 4, 12, 20, 28, 36, 44, 52, 62),
    ),
    "",
    *table(
        "iq3S",
        "The 512 points of IQ3_S: magnitudes 1, 3, 5, 7, 9, 11, 13 and 15, four to a point.",
        points(IQ3_S, 1, 3, 5, 7, 9, 11, 13, 15),
    ),
    "",
    *table("iq1", "The 2,048 points of IQ1_S and IQ1_M, of weights -1, 0 and 1.", points(IQ1_S, -1, 0, 1)),
    "}",
]
target = pathlib.Path(__file__).parent.parent / "Sources/Checkpoints/LatticePoints.swift"
target.write_text("\n".join(lines) + "\n")
