#!/usr/bin/env python3
"""Makes Fixtures/invalid and Fixtures/valid-oddities: small files that must be refused, and odd ones that must be read.

Each file or folder is named for its defect. expected.json beside them lists for each one the command to run, its exit
code and pieces of the one line it must print; the walk over it is Tests/CommandTests/InvalidFileTests.swift. In a
command $FILE is the file or folder, $OUT a path where nothing may appear, $TEXT a text. A folder with "over" holds only
the files that differ from that folder; "without" are names of it that are left out. "beside" are entries it refers to.

The same files come out of every run; only the standard library is needed.
usage: make-invalid.py [ROOT]   (ROOT, the folder of the package, is the one above this script by default)
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "invalid"))

from catalogue import Catalogue
import containers
import folders
import gguf
import recipes
import safetensors


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(here)
    invalid = Catalogue(os.path.join(root, "Fixtures", "invalid"))
    odd = Catalogue(os.path.join(root, "Fixtures", "valid-oddities"))
    for module in (safetensors, containers, folders, recipes, gguf):
        module.add_invalid(invalid)
        module.add_odd(odd)
    for catalogue in (invalid, odd):
        catalogue.write()
        print(catalogue)


if __name__ == "__main__":
    main()
