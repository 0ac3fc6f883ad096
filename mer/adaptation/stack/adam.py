"""AdamW over fits side by side: every tensor has the fits as its first dimension, and no fit knows of another.

Known: AdamW (Loshchilov and Hutter 2019), in the arithmetic of torch's. Ours: step size, number of steps, clipping of
the gradient, skipped steps and the running average are each fit's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mer.adaptation.config import AdaptationConfig
from mer.errors import DivergedError
from mer.training.steps import MAX_SKIPPED_STEPS

FIRST, SECOND, FLOOR = 0.9, 0.999, 1e-8


class StackedAdam:
    """Optimiser and running average of K fits.

    Args:
        parameters: tensors (K, ...) by name, changed in place.
        peaks: step size of each before the schedule.
        config: weight decay, clipping, averaging.
        fits: K.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        peaks: Mapping[str, float],
        config: AdaptationConfig,
        fits: int,
    ) -> None:
        self._parameters = dict(parameters)
        self._peaks = [peaks[name] for name in parameters]
        self._config = config
        self._first = [torch.zeros_like(value) for value in parameters.values()]
        self._second = [torch.zeros_like(value) for value in parameters.values()]
        device = next(iter(parameters.values())).device
        self._steps = torch.zeros(fits, device=device)
        self._skipped = torch.zeros(fits, dtype=torch.int64, device=device)
        self._average = [value.detach().clone() for value in parameters.values()] if config.averaging else []

    @property
    def judged(self) -> dict[str, Tensor]:
        """Parameters to predict with: each fit's running average, where there is one."""
        values = self._average or [value.detach() for value in self._parameters.values()]
        return dict(zip(self._parameters, values, strict=True))

    @torch.no_grad()
    def step(
        self, gradients: Sequence[Tensor], losses: Tensor, active: Tensor, factors: Sequence[float]
    ) -> Tensor:
        """One step of the active fits whose loss and gradient are finite.

        Args:
            gradients: in the order of the parameters.
            losses: (K,).
            active: (K,) False where a fit has no batch left in its epoch.
            factors: (K,) factor of the peak step size.

        Returns:
            (K,) whether the fit took the step.
        """
        norms = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0).sqrt()
        sound = losses.isfinite() & norms.isfinite()
        self._skipped += active & ~sound
        taken = active & sound
        self._steps += taken
        clip = (self._config.gradient_clip / (norms + 1e-6)).clamp(max=1.0)
        steps = self._steps.clamp(min=1.0)
        rate = torch.tensor(factors, dtype=torch.float32, device=norms.device)
        right_first, right_second = 1.0 - FIRST**steps, 1.0 - SECOND**steps
        for number, (value, gradient) in enumerate(zip(self._parameters.values(), gradients, strict=True)):

            def along(values: Tensor, like: Tensor = value) -> Tensor:
                return values.view(-1, *[1] * (like.dim() - 1))

            # chosen by value and not by `if`: a fit that skips keeps its state while its neighbours step
            gradient = torch.where(along(taken), gradient * along(clip), 0.0)
            first, second = self._first[number], self._second[number]
            first.copy_(torch.where(along(taken), torch.lerp(first, gradient, 1 - FIRST), first))
            moved = SECOND * second + (1 - SECOND) * gradient.square()
            second.copy_(torch.where(along(taken), moved, second))
            size = along(rate * self._peaks[number])
            update = first / along(right_first) / ((second / along(right_second)).sqrt() + FLOOR)
            stepped = value * (1.0 - size * self._config.weight_decay) - size * update
            value.copy_(torch.where(along(taken), stepped, value))
        self._move_average(taken)
        return taken

    def check(self, epoch: int) -> None:
        """Raise DivergedError where a fit had to skip too many steps."""
        worst = int(self._skipped.max())
        if worst > MAX_SKIPPED_STEPS:
            raise DivergedError(
                f"adaptation, epoch {epoch}: expected finite losses and gradients, found {worst} steps without in fit "
                f"{int(self._skipped.argmax())} of {len(self._skipped)}; lower the learning rate or check the features"
            )

    def _move_average(self, taken: Tensor) -> None:
        if not self._average:
            return
        decay = (self._steps / (self._steps + 9)).clamp(max=self._config.averaging)
        decay = torch.where(self._steps <= 1, 0.0, decay)  # the first step is taken over whole
        share = torch.where(taken, 1.0 - decay, 0.0)
        for average, value in zip(self._average, self._parameters.values(), strict=True):
            average.lerp_(value.detach(), share.view(-1, *[1] * (value.dim() - 1)))
