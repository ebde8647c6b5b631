#!/usr/bin/env python3
"""Quantizes a GGUF file by llama.cpp's own `llama_model_quantize`, as its tool llama-quantize does.

usage: llama_quantize.py LIBRARY INPUT.gguf OUTPUT.gguf Q2_K|Q2_K_S|IQ2_XS|… [IMATRIX.gguf]

LIBRARY is `_llama_cpp_cpu.*.so` of PyPI's llama-cpp-cffi 0.4.42, which exports that function; other versions may have
another structure of options. IMATRIX is an importance matrix in GGUF, as llama-imatrix and `rilq quantize` with
`importance_output` write it. Tensors that are quantized already are quantized again. Needs gguf and, for IMATRIX, g++.
"""

import ctypes
import os
import subprocess
import sys
import tempfile

FILE_TYPES = {"Q2_K": 10, "Q3_K_S": 11, "Q4_K_S": 14, "Q4_K_M": 15, "IQ2_XXS": 19, "IQ2_XS": 20, "Q2_K_S": 21,
              "IQ3_XXS": 23, "IQ1_S": 24, "IQ3_S": 26, "IQ2_S": 28, "IQ2_M": 29, "IQ1_M": 31}  # fmt: skip

# llama.cpp takes the matrix as a C++ object.
MATRIX = """
#include <string>
#include <unordered_map>
#include <vector>
typedef std::unordered_map<std::string, std::vector<float>> matrix;
extern "C" matrix *matrix_new() { return new matrix; }
extern "C" void matrix_add(matrix *m, const char *name, const float *values, size_t count) {
  (*m)[name] = std::vector<float>(values, values + count);
}
"""


class Options(ctypes.Structure):
    _fields_ = [
        ("thread_count", ctypes.c_int32),
        ("file_type", ctypes.c_int32),
        ("output_type", ctypes.c_int32),
        ("embedding_type", ctypes.c_int32),
        ("allows_requantizing", ctypes.c_bool),
        ("quantizes_output", ctypes.c_bool),
        ("only_copies", ctypes.c_bool),
        ("pure", ctypes.c_bool),
        ("keeps_split", ctypes.c_bool),
        ("matrix", ctypes.c_void_p),
        ("overrides", ctypes.c_void_p),
    ]


def importance(path):
    """Yields the name and the means of squares of each tensor."""
    import gguf

    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    for name, sums in tensors.items():
        if name.endswith(".in_sum2"):
            base = name.removesuffix(".in_sum2")
            counts = tensors[base + ".counts"].reshape(-1, 1)
            yield base, (sums.reshape(len(counts), -1) / counts.clip(1)).astype("float32").reshape(-1)


def make_matrix(path, folder):
    """Returns the address of llama.cpp's form of an importance matrix."""
    source, library = os.path.join(folder, "matrix.cc"), os.path.join(folder, "matrix.so")
    with open(source, "w") as file:
        file.write(MATRIX)
    subprocess.run(["g++", "-O1", "-shared", "-fPIC", source, "-o", library], check=True)
    code = ctypes.CDLL(library)
    code.matrix_new.restype = ctypes.c_void_p
    matrix = ctypes.c_void_p(code.matrix_new())
    for name, values in importance(path):
        pointer = values.ctypes.data_as(ctypes.c_void_p)
        code.matrix_add(matrix, name.encode(), pointer, ctypes.c_size_t(len(values)))
    return matrix.value


def main(library, source, target, kind, matrix=None):
    llama = ctypes.CDLL(library, mode=os.RTLD_LAZY)
    llama.llama_model_quantize_default_params.restype = Options
    options = llama.llama_model_quantize_default_params()
    # The defaults tell whether the structure is the one above.
    if not options.quantizes_output or options.output_type != options.embedding_type or options.matrix:
        sys.exit(f"{library}: other options than those of llama-cpp-cffi 0.4.42")
    options.thread_count, options.file_type, options.allows_requantizing = os.cpu_count(), FILE_TYPES[kind], True
    with tempfile.TemporaryDirectory() as folder:
        if matrix:
            options.matrix = make_matrix(matrix, folder)
        if llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(options)):
            sys.exit(f"{source}: llama.cpp could not quantize it")


if __name__ == "__main__":
    if not 5 <= len(sys.argv) <= 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
