"""Models of a stack judged on their validation clips after an epoch; the scores mean what they mean in `mer.fusion.train`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mer.evaluation.metrics import combined_score, confusion, waf
from mer.stack.data import StackView
from mer.stack.draws import reading_order
from mer.stack.state import Member, Stack
from mer.training.losses import valence_loss


class Scores(NamedTuple):
    """Of one model on its validation clips; NaN where no clip has the label."""

    waf: float
    loss: float
    """Cross-entropy."""
    squared_error: float
    """Of valence."""


_UNKNOWN = Scores(math.nan, math.nan, math.nan)


@torch.no_grad()
def judge(stack: Stack, epoch: int, *, keep: bool) -> None:
    """Score every model that is still training, remember its best epoch, and see whether it has done enough."""
    training = [k for k, member in enumerate(stack.members) if not member.left]
    for view in {id(stack.members[k].plan.view): stack.members[k].plan.view for k in training}.values():
        readers = [k for k in training if stack.members[k].plan.view is view]
        for k, scores in zip(readers, _scores(stack, readers, view), strict=True):
            _remember(stack, k, scores, epoch, keep=keep)


def _scores(stack: Stack, readers: Sequence[int], view: StackView) -> list[Scores]:
    """Of the models that share a view: its batches are made once for all of them."""
    if not len(view.validation):
        return [_UNKNOWN for _ in readers]
    size = stack.members[readers[0]].plan.config.batch_size
    rows = reading_order(view, view.validation, size)
    answers: list[list[tuple[Tensor, Tensor]]] = [[] for _ in readers]
    for own in rows:
        batch = view.batch(own, reads_frames=stack.model.reads_frames)
        for k, given in zip(readers, answers, strict=True):
            logits, valence = stack.model.forward(stack.judged(k), batch, None)
            given.append((logits[0].float(), valence[0].float()))
    order = torch.cat(rows)
    return [
        _scores_of(torch.cat([logits for logits, _ in given]), torch.cat([v for _, v in given]), view, order)
        for given in answers
    ]


def _scores_of(logits: Tensor, predicted: Tensor, view: StackView, rows: Tensor) -> Scores:
    truth, valence = view.data.emotion.index_select(0, rows), view.data.valence.index_select(0, rows)
    known = truth >= 0
    if not bool(known.any()):
        return _UNKNOWN
    loss = float(functional.cross_entropy(logits[known], truth[known]))
    counts = confusion(
        truth[known].cpu().numpy(), logits[known].argmax(dim=1).cpu().numpy(), view.data.classes
    )
    error = math.nan
    if bool((~torch.isnan(valence)).any()):
        error = float(valence_loss(predicted, valence, torch.ones_like(valence)))
    return Scores(float(waf(counts)), loss, error)


def _remember(stack: Stack, k: int, scores: Scores, epoch: int, *, keep: bool) -> None:
    member = stack.members[k]
    config = member.plan.config
    member.epochs = epoch
    if not math.isnan(scores.waf) and not math.isfinite(scores.loss):
        member.left = f"diverged: validation loss {scores.loss} after epoch {epoch}"
        return
    member.scores.append(scores.waf)
    if _is_better(member, scores):
        member.best_epoch, member.best_score = epoch, scores.waf
        member.best_loss = _compared(member, scores)
        if keep:
            member.best = stack.model.state_dict({name: value[0] for name, value in stack.judged(k).items()})
    if epoch >= config.epochs:
        member.left = "epochs"
    elif config.patience and epoch - member.best_epoch >= config.patience:
        member.left = "patience"


def _is_better(member: Member, scores: Scores) -> bool:
    if math.isnan(scores.waf):
        return True  # nothing to choose by: the last epoch
    loss = _compared(member, scores)
    if member.plan.config.validation_score == "loss" or _combines(member, scores):
        return loss < member.best_loss
    return not scores.waf <= member.best_score or (
        scores.waf == member.best_score and loss < member.best_loss
    )


def _combines(member: Member, scores: Scores) -> bool:
    return member.plan.config.validation_score == "combined" and not math.isnan(scores.squared_error)


def _compared(member: Member, scores: Scores) -> float:
    """What is compared between epochs, the smaller the better: minus the combined score where that is what chooses."""
    return -combined_score(scores.waf, scores.squared_error) if _combines(member, scores) else scores.loss
