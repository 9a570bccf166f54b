"""Writes fixtures/safetensors.safetensors with the official library, to be read by our own reader.

The file holds one tensor of every dtype that Thimble reads, a scalar, an empty tensor, names that
need escapes and one metadata entry (the order of several is not fixed by the official writer).
A second file, fixtures/float16.safetensors, holds float64 values near every rounding boundary of
float16 and the bit patterns that NumPy rounds them to.
"""

from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

FIXTURES = Path(__file__).parent / "fixtures"
FLOATS = [0.0, -0.0, 1.0, -2.5, 1 / 3, 65504.0, 6e-8, 1e-3, float("inf"), float("-inf")]


def every_dtype() -> dict[str, torch.Tensor]:
    return {
        "float64": torch.tensor(FLOATS, dtype=torch.float64).reshape(2, 5),
        "float32": torch.tensor(FLOATS, dtype=torch.float32).reshape(5, 2),
        "float16": torch.tensor(FLOATS, dtype=torch.float16),
        "bfloat16": torch.tensor(FLOATS, dtype=torch.bfloat16),
        "int64": torch.tensor([0, -1, 2**31 - 1, -(2**31)], dtype=torch.int64),
        "int64.wide": torch.tensor([2**40], dtype=torch.int64),
        "int32": torch.tensor([0, -1, 2**31 - 1, -(2**31)], dtype=torch.int32),
        "int16": torch.tensor([0, -1, 32767, -32768], dtype=torch.int16),
        "int8": torch.tensor([0, -1, 127, -128], dtype=torch.int8),
        "uint8": torch.tensor([0, 1, 255], dtype=torch.uint8),  # three bytes: the next is unaligned
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(0.1, dtype=torch.float32),
        "empty": torch.zeros(3, 0, 2, dtype=torch.float32),
        'name "quoted" \\ \n é 漢 😀': torch.ones(1, dtype=torch.float32),
    }


def float16_boundaries() -> dict[str, torch.Tensor]:
    """Every 67th finite float16 and both sides of the midpoint to its successor, in float64."""
    bits = numpy.arange(0, 0x7BFF, 67, dtype=numpy.uint16)
    values = bits.view(numpy.float16).astype(numpy.float64)
    following = (bits + 1).view(numpy.float16).astype(numpy.float64)
    middle = (values + following) / 2
    cases = [values, middle, numpy.nextafter(middle, 0), numpy.nextafter(middle, 1e9)]
    cases.append(numpy.array([65504, 65519.999, 65520, 1e300, 2**-25, 2**-25 * 1.001, 1e-300]))
    flat = numpy.concatenate(cases)
    flat = numpy.concatenate([flat, -flat])
    with numpy.errstate(over="ignore"):
        rounded = flat.astype(numpy.float16).view(numpy.uint16).astype(numpy.int32)
    return {"value": torch.from_numpy(flat), "bits": torch.from_numpy(rounded)}


def main() -> None:
    metadata = {"écrit par": 'safetensors "officiel"'}
    save_file(every_dtype(), FIXTURES / "safetensors.safetensors", metadata=metadata)
    save_file(float16_boundaries(), FIXTURES / "float16.safetensors")


if __name__ == "__main__":
    main()
