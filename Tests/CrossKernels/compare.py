#!/usr/bin/env python3
"""Compares what kernels.c printed on two processors; exits with 1 if a result differs more than it may.

The first file is that of x86-64. Results without counterpart are an error, except fused ones, which a processor
without AVX2 does not give.
usage: compare.py FIRST SECOND
"""
import struct
import sys


def results(path):
    with open(path, encoding="ascii") as file:
        for line in file:
            head, values = line.rstrip("\n").split(":")
            kind = "within" if " within " in head else head.rsplit(" ", 1)[1]
            bound = float(head.rsplit(" ", 1)[1]) if kind == "within" else 0.0
            name = head.split(" within ")[0] if kind == "within" else head.rsplit(" ", 1)[0]
            yield name, kind, bound, values.split()


def number(digits):
    return struct.unpack(">f" if len(digits) == 8 else ">d", bytes.fromhex(digits))[0]


def largest_difference(first, second):
    """Of two lists of floats or doubles; infinite if one has a value that is no number and the other has not."""
    largest = 0.0
    for a, b in zip(first, second):
        if a == b:
            continue
        difference = abs(number(a) - number(b))
        largest = max(largest, difference) if difference == difference else float("inf")
    return largest


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, second = (list(results(path)) for path in sys.argv[1:])
    without_fused = not any(kind == "fused" for _, kind, _, _ in first)
    if without_fused:
        print("compare.py: no AVX2, so fused products are not compared")
        second = [result for result in second if result[1] != "fused"]
    if not first or [r[:2] for r in first] != [r[:2] for r in second]:
        sys.exit("compare.py: the files do not hold the same results")
    counts = {"equal": 0, "fused": 0, "within": 0}
    values, same, closest = 0, 0, 0.0
    failed = False
    for (name, kind, bound, a), (_, _, _, b) in zip(first, second):
        values += len(a)
        if a == b:
            counts[kind] += 1
            same += kind == "within"
            continue
        difference = largest_difference(a, b) if len(a) == len(b) and kind == "within" else float("inf")
        if difference > bound:
            failed = True
            places = [i for i, (x, y) in enumerate(zip(a, b)) if x != y]
            print("compare.py: %s: %d of %d values differ, the first is %d: %s and %s" % (
                name, len(places), len(a), places[0] if places else -1,
                a[places[0]] if places else "", b[places[0]] if places else ""))
        else:
            counts[kind] += 1
            closest = max(closest, difference / bound)
    print("%d results, %d values: %d equal, %d fused and equal, %d within their bounds (%d of them equal, at most "
          "%.0f %% of a bound)" % (
              len(first), values, counts["equal"], counts["fused"], counts["within"], same, 100 * closest))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
