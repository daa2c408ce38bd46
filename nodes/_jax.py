"""What of the nodes needs JAX."""

from __future__ import annotations

from typing import Any

import jax


def convolve(x: Any, W: Any) -> Any:
    """`Conv2D`."""
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x[None], W, (1, 1), "SAME", dimension_numbers=order)[0]


def kernel_cotangent(x: Any, ct: Any, W: Any) -> Any:
    """`KernelCotangent`."""
    return jax.linear_transpose(lambda window: convolve(x, window), W)(ct)[0]
