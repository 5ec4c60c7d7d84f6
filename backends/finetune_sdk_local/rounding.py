"""How float32 weights become weights of a shorter dtype: to the nearest, or up or down by chance.

To the nearest, a change of less than half a step is lost, in every weight, whatever the changes would do together. By chance, a weight
goes up as often as it is far from the step below, so its expectation is the weight itself: small changes stay, with noise that
adds up to less than they do (Gupta et al. 2015, arXiv:1502.02551, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Rounding = Callable[["torch.Tensor", "torch.dtype"], "torch.Tensor"]


def nearest(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Each to the nearest value of the dtype, ties to the even one."""
    return weight.to(dtype)


class Stochastic:
    """Each to one of the two values beside it, by its distance; what the dtype holds stays. The same `seed` draws the same."""

    def __init__(self, seed: int = 0) -> None:
        import torch

        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        import torch

        near = weight.to(dtype)
        away = weight - near.float()
        other = torch.nextafter(near, torch.full_like(near, torch.inf).copysign(away.to(dtype)))
        chance = (away / (other.float() - near.float())).nan_to_num()
        drawn = torch.rand(weight.shape, generator=self._generator).to(weight.device)
        return torch.where(drawn < chance, other, near)


ROUNDINGS: dict[str, Callable[[], Rounding]] = {"nearest": lambda: nearest, "stochastic": Stochastic}
"""In the order in which they are tried."""
