"""The state of one adaptation between epochs, and what an epoch does. Reconstruction: optimiser, schedule, stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.adaptation.adapted_block import AdaptedBlock, embed_rows
from mer.adaptation.batch_plan import BatchPlan, Chances, draw_plan
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.fit_clips import FitClips
from mer.adaptation.masked_reconstruction import MaskedReconstruction
from mer.adaptation.objective import Objective
from mer.adaptation.processes import ALONE, Processes
from mer.adaptation.running_average import RunningAverage
from mer.evaluation.metrics import confusion, unweighted_recall, waf
from mer.training.batches import length_sorted_batches
from mer.training.optimiser_state import optimiser_tensors, restore_optimiser
from mer.training.seeding import epoch_generator
from mer.training.steps import StepGuard, seeded, warmup_cosine


class Fit:
    """State of one fit between epochs."""

    def __init__(
        self,
        encoder: BlockEncoder,
        block: Block,
        clips: FitClips,
        classes: int,
        config: AdaptationConfig,
        processes: Processes = ALONE,
    ) -> None:
        self.config = config
        self.clips = clips
        self.processes = processes
        with seeded(epoch_generator(config.seed, 0, "initialise")):
            self.adapted = AdaptedBlock(encoder, block, config, classes)
            clusters = config.clusters if config.mask_target == "cluster" else None
            self.reconstruction = MaskedReconstruction(encoder.width, clusters)
            self.reconstruction.to(self.adapted.layers.device)
        self.objective = Objective(self.adapted, self.reconstruction, clips, config)
        adapters = list(self.adapted.layers.trainable.values())
        heads = [
            *self.adapted.head.parameters(),
            *self.adapted.pooling.parameters(),
            *self.reconstruction.parameters(),
        ]
        self.parameters = [*adapters, *heads]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": adapters, "peak": config.learning_rate},
                {"params": heads, "peak": config.head_learning_rate},
            ],
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.average = RunningAverage(self.adapted.fitted_tensors(), config.averaging)
        self.guard = StepGuard()
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best_tensors: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """All epochs are done, or patience is at an end."""
        done = len(self.history)
        waited = done - 1 - self.best_epoch
        patient = self.config.patience == 0 or len(self.clips.validation) == 0
        return done >= self.config.epochs or (done > 0 and not patient and waited >= self.config.patience)

    def run_epoch(self) -> None:
        """One pass over the training clips, then a look at the validation clips."""
        epoch, config, store = len(self.history), self.config, self.clips.store
        chances = Chances(config.seed, epoch, self.processes.rank)
        rows = self.clips.rows_of_epoch(chances.variants, every=config.variants_per_epoch == "all")
        batches = length_sorted_batches(rows, store.lengths, config.batch_size, generator=chances.order)
        self.adapted.train()
        sums = np.zeros(2)
        with seeded(chances.dropout):
            for index, batch in enumerate(batches):
                self._set_step_size(epoch * len(batches) + index, config.epochs * len(batches))
                sums += len(batch) * np.array(self._step(draw_plan(store, batch, config, chances), epoch))
        self.adapted.eval()
        with self.average.in_use():
            figures = {
                "epoch": float(epoch),
                "train_cross_entropy": sums[0] / len(rows),
                "train_reconstruction": sums[1] / len(rows),
                "skipped_steps": float(self.guard.skipped),
            } | self._validate()
            self.history.append({name: float(value) for name, value in figures.items()})
            if self._is_best(epoch):
                self.best_epoch = epoch
                self.best_tensors = self.adapted.small_tensors()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and record of a checkpoint."""
        tensors = {f"now/{name}": value for name, value in self.adapted.small_tensors().items()}
        tensors |= {f"reconstruction/{n}": v for n, v in self.reconstruction.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best_tensors.items()}
        tensors |= {f"average/{name}": value for name, value in self.average.values.items()}
        tensors |= optimiser_tensors(self.optimiser)
        return tensors, {
            "config": self.config.model_dump(mode="json"),
            "history": self.history,
            "best_epoch": self.best_epoch,
            "skipped": self.guard.skipped,
            "averaged_steps": self.average.steps,
        }

    def restore(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on from a checkpoint; one of other options is ignored (its stage's key would differ)."""
        if record.get("config") != self.config.model_dump(mode="json"):
            return
        self.adapted.load_small_tensors(_under_prefix(tensors, "now/"))
        self.reconstruction.load_state_dict(_under_prefix(tensors, "reconstruction/"))
        restore_optimiser(self.optimiser, tensors)
        self.average.restore(_under_prefix(tensors, "average/"), record["averaged_steps"])
        self.best_tensors = _under_prefix(tensors, "best/")
        self.history = record["history"]
        self.best_epoch = record["best_epoch"]
        self.guard = StepGuard(record["skipped"])

    def _step(self, plan: BatchPlan, epoch: int) -> tuple[float, float]:
        figures = self._gradients(plan)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip)
        # one transfer for all figures: on a GPU each would wait for the device
        total, cross_entropy, reconstruction, size = torch.cat([figures, norm[None]]).cpu()
        if not self.guard.accepts(total, size, where=f"adaptation, epoch {epoch}"):
            return 0.0, 0.0
        self.optimiser.step()
        self.average.update()
        return float(cross_entropy), float(reconstruction)

    def _gradients(self, plan: BatchPlan) -> Tensor:
        """Fill the gradients of the whole batch; (3,) its losses: total, cross-entropy, reconstruction."""
        self.optimiser.zero_grad(set_to_none=True)
        local_plan = plan.subset(self.processes.clip_range(plan.clips))
        figures = torch.zeros(3, device=self.clips.store.device)
        if local_plan.clips:
            losses = self.objective(local_plan, plan.clips, plan.hidden_frames)
            losses.total.backward()
            figures = torch.stack([losses.total.detach(), losses.cross_entropy, losses.reconstruction])
        # one exchange needs the same tensors everywhere: a process without clips contributes zeros
        if self.processes.count > 1:
            for parameter in self.parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            self.processes.add_up([figures, *(p.grad for p in self.parameters if p.grad is not None)])
        return figures

    def _set_step_size(self, step: int, total: int) -> None:
        factor = warmup_cosine(step, total, self.config.warmup_share)
        for group in self.optimiser.param_groups:
            group["lr"] = factor * group["peak"]

    def _validate(self) -> dict[str, float]:
        rows = self.clips.validation
        if len(rows) == 0:
            return {}
        embeddings = embed_rows(self.adapted.embed, self.clips.store, rows)
        with torch.inference_mode():
            logits = self.adapted.head(torch.from_numpy(embeddings).to(self.clips.store.device)).cpu()
        truth = self.clips.labels[rows]
        counts = confusion(truth, logits.argmax(dim=1).numpy(), logits.shape[1])
        return {
            "validation_cross_entropy": float(functional.cross_entropy(logits, torch.from_numpy(truth))),
            "validation_waf": float(waf(counts)),
            "validation_uar": float(unweighted_recall(counts)),
        }

    def _is_best(self, epoch: int) -> bool:
        name = f"validation_{self.config.validation_score}"
        if name not in self.history[epoch] or self.best_epoch < 0:
            return True
        best, now = self.history[self.best_epoch], self.history[epoch]
        if now[name] != best[name]:
            return now[name] > best[name]
        return now["validation_cross_entropy"] < best["validation_cross_entropy"]


def _under_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
