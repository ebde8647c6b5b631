"""GGUF files, after the catalogue of test-gguf in llama.cpp."""


def add_invalid(catalogue):
    pass


def add_odd(catalogue):
    pass
