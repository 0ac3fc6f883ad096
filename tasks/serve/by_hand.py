"""Promotion and rollback by a person: the evidence is looked up, the change is audited and mirrored."""

from __future__ import annotations

import json
from dataclasses import dataclass

from infra.catalogue import PromotionRow
from infra.catalogue.approvals import APPROVAL, REFUSED
from infra.errors import ArtifactCorrupt, ArtifactMissing, CatalogueError
from mer.errors import ConfigError
from tasks.serve.comparison import compare_versions
from tasks.serve.complete_versions import require_complete
from tasks.serve.library import version_of
from tasks.serve.registry import mirror_soon
from tasks.stage.workspace import Workspace, reading_workspace

CHAMPION = "champion"


@dataclass(frozen=True)
class HandPromotion:
    """A champion that a person chose."""

    audit: PromotionRow
    evidence: tuple[str, ...]
    """What is known of the version, a line each."""
    remark: str
    """What MLflow does not know yet; empty: nothing."""


def promote_by_hand(model: str, version: int, reason: str = "") -> HandPromotion:
    """Make a version the champion whatever the gate said, with the evidence there is in the audit row.

    Args:
        model: its name.
        version: number of the version.
        reason: why, for the audit.

    Raises:
        LookupError: no such model or version.
        ConfigError: it is the champion already.
        CatalogueError: something of it is gone or damaged.
    """
    space = reading_workspace()
    chosen = version_of(space, model, version)
    champion = space.catalogue.champion(model)
    if champion is not None and champion.version == version:
        raise ConfigError(f"{model} version {version} is the champion already")
    _require_not_refused(space, model, version)
    require_complete(space, chosen)
    lines = [_scores(chosen.metrics)]
    figures: dict[str, object] = {"metrics": chosen.metrics}
    if champion is None:
        lines.append(f"{model} has no champion to compare with")
    else:
        try:
            compared = compare_versions(space, chosen, champion)
        except (ConfigError, LookupError, ArtifactMissing, ArtifactCorrupt) as error:
            lines.append(f"not comparable with the champion, version {champion.version}: {error}")
        else:
            waf = next(row for row in compared.scores if row.name == "WAF")
            figures["against"] = {
                "champion": champion.version, "clips": compared.clips, "groups": compared.groups,
                "difference": waf.difference, "low": waf.low, "high": waf.high,
            }  # fmt: skip
            lines.append(
                f"against version {champion.version}, the champion: WAF {waf.first:.4f} to {waf.second:.4f}, difference "
                f"{waf.difference:+.4f} (95 %: {waf.low:+.4f} to {waf.high:+.4f}; {compared.clips} clips, "
                f"{compared.groups} {compared.resampled})"
            )
    said = [
        row.reason
        for row in space.catalogue.promotions(model, None)
        if row.version == version and row.alias != APPROVAL
    ]
    if said:
        lines.append(f"the gate said: {said[-1].partition(';')[0]}")
    audit = space.catalogue.set_alias(
        model,
        CHAMPION,
        version,
        f"promoted by hand{f' ({reason})' if reason else ''}: {'; '.join(lines)}",
        evidence=json.dumps(figures, sort_keys=True),
    )
    return HandPromotion(audit, tuple(lines), mirror_soon(space))


def _require_not_refused(space: Workspace, model: str, version: int) -> None:
    row = space.catalogue.approval(model, version)
    champion = space.catalogue.champion(model)
    if row is not None and row.action == REFUSED and row.champion_version == (champion and champion.version):
        raise CatalogueError(
            f"version {version} of {model} was refused by {row.actor} on {row.created_at:%Y-%m-%d %H:%M} UTC ({row.reason}): "
            "only another evaluation, of another version or against another champion, makes it a candidate again"
        )


def roll_back(model: str) -> HandPromotion:
    """Put the previous champion back, also where MLflow does not answer.

    Raises:
        CatalogueError: there is none, or something of it is gone or damaged: nothing is changed then.
    """
    space = reading_workspace()
    if space.catalogue.champion(model) is None:
        raise CatalogueError(f"{model!r} has no champion to take back")
    target = space.catalogue.rollback_version(model)
    require_complete(space, space.catalogue.model_version(model, target))
    audit = space.catalogue.rollback(model, "rolled back from the command line", expected=target)
    return HandPromotion(audit, (), mirror_soon(space))


def _scores(metrics: dict[str, object]) -> str:
    names = {"waf": "WAF out of fold", "accuracy": "accuracy", "holdout_waf": "WAF on the holdout"}
    shown = [
        f"{label} {value:.4f}"
        for name, label in names.items()
        if isinstance(value := metrics.get(name), int | float)
    ]
    return ", ".join(shown) or "no scores are stored with it"
