"""Which operation is wrong in bf16 on this processor: `python -m mer.encoders.precision_probe`.

`mer.encoders.bf16_proof` finds that an encoder is wrong; this finds what of it. Every operation of our encoders is computed in
bf16 and in fp32 on the same numbers (representable in bf16, so that only the kernel differs), in the shapes of a tiny and of a
base-size encoder, short and long, single and batched. One line for each; the exit status is 1 where a cosine is below .999.
`ONEDNN_VERBOSE=1` before it names the kernel of each.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from mer.encoders.bf16_proof import LEAST_COSINE, cosine
from mer.encoders.processor import processor_kind

LENGTHS = (5, 40, 165, 800)
"""Frames: what enters a layer of a clip of .1, .8, 3.3 and 16 seconds."""

Operation = Callable[..., Tensor]


@dataclass(frozen=True)
class Probe:
    """One operation in one shape."""

    operation: str
    shape: str
    compute: Operation
    inputs: tuple[Tensor, ...]
    """Values and weights, float32 that bf16 can hold."""

    def measured(self) -> float:
        """Cosine of the result in bf16 to that in fp32; the lower of the whole and the mean over rows."""
        with torch.inference_mode():
            expected = self.compute(*self.inputs)
            actual = self.compute(*(tensor.to(torch.bfloat16) for tensor in self.inputs)).float()
        return cosine(_rows(expected), _rows(actual))


def probes() -> Iterator[Probe]:
    """All operations in all shapes; drawn from a seed."""
    draw = torch.Generator().manual_seed(0)

    def drawn(*shape: int, fan_in: int = 1) -> Tensor:
        values = torch.randn(shape, generator=draw) / math.sqrt(fan_in)
        return values.to(torch.bfloat16).float()

    for batch in (1, 3):
        for length in LENGTHS:
            for channels_in, channels_out, kernel, stride in (
                (1, 32, 10, 5), (32, 32, 3, 2), (32, 32, 2, 2), (1, 512, 10, 5), (512, 512, 3, 2), (512, 512, 2, 2),
            ):  # fmt: skip
                time = kernel + stride * (length - 1)
                yield Probe(
                    "strided convolution",
                    f"{batch} x {channels_in}->{channels_out} kernel {kernel} stride {stride}, {length} frames",
                    partial(functional.conv1d, stride=stride),
                    (
                        drawn(batch, channels_in, time),
                        drawn(channels_out, channels_in, kernel, fan_in=channels_in * kernel),
                    ),
                )
            for width, groups, kernel in ((48, 4, 16), (768, 16, 128), (1024, 16, 128)):
                inner = width // groups
                yield Probe(
                    "grouped convolution",
                    f"{batch} x {width} in {groups} groups kernel {kernel} padding {kernel // 2}, {length} frames",
                    partial(functional.conv1d, padding=kernel // 2, groups=groups),
                    (
                        drawn(batch, width, length),
                        drawn(width, inner, kernel, fan_in=inner * kernel),
                        drawn(width),
                    ),
                )
            for wide_in, wide_out in (
                (32, 48),
                (48, 48),
                (48, 96),
                (96, 48),
                (288, 288),
                (384, 1536),
                (768, 768),
                (768, 3072),
            ):
                yield Probe(
                    "linear map",
                    f"{batch} x {length} x {wide_in}->{wide_out}",
                    functional.linear,
                    (
                        drawn(batch, length, wide_in),
                        drawn(wide_out, wide_in, fan_in=wide_in),
                        drawn(wide_out),
                    ),
                )
            for heads, size in ((4, 12), (2, 16), (8, 36), (12, 32), (12, 64), (16, 64)):
                for padded in (False, True):
                    bias = torch.zeros(batch, 1, 1, length)
                    bias[..., -(-length * 2 // 3) :] = -1e9 if padded else 0.0
                    yield Probe(
                        "attention",
                        f"{batch} x {heads} heads of {size}, {length} frames{', padded' if padded else ''}",
                        _padded_attention if padded else functional.scaled_dot_product_attention,
                        (
                            *(drawn(batch, heads, length, size) for _ in range(3)),
                            *((bias,) if padded else ()),
                        ),
                    )
            for width in (48, 768):
                values = drawn(batch, length, width)
                yield Probe("layer norm", f"{batch} x {length} x {width}", partial(_normed, width), (values,))
                yield Probe("GELU", f"{batch} x {length} x {width}", functional.gelu, (values,))
    for pictures in (1, 12):
        for width, patch, side in ((32, 8, 32), (768, 16, 224)):
            yield Probe(
                "patches",
                f"{pictures} x 3->{width} kernel and stride {patch}, {side} pixels",
                partial(functional.conv2d, stride=patch),
                (drawn(pictures, 3, side, side), drawn(width, 3, patch, patch, fan_in=3 * patch * patch)),
            )


def main() -> int:
    """Print every probe's cosine, the wrong ones again at the end; the number of threads is torch's own."""
    write = sys.stdout.write
    write(f"{processor_kind()}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    wrong = []
    for probe in probes():
        line = f"{probe.measured():.6f}  {probe.operation}: {probe.shape}\n"
        write(line)
        if float(line.split()[0]) < LEAST_COSINE:
            wrong.append(line)
    write(f"below {LEAST_COSINE}: {len(wrong)}\n" + "".join(wrong))
    return int(bool(wrong))


def _padded_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))


def _normed(width: int, values: Tensor) -> Tensor:
    return functional.layer_norm(values, (width,))


def _rows(result: Tensor) -> Tensor:
    """(..., n) -> (rows, n); of a convolution a row is a channel over time."""
    return result.flatten(0, -2)


if __name__ == "__main__":
    sys.exit(main())
