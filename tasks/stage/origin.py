"""Where a run and what it registers come from: commit, flow run, recipe, corpus; shown in MLflow and kept with the version."""

from __future__ import annotations

from collections.abc import Mapping

import mer
from infra.catalogue.actor import actor
from infra.mlflow_experiment import NOTE_TAG
from infra.shown_address import shown_address
from infra.source_commit import source_commit

COMMIT_TAG, SOURCE_TAG, USER_TAG = "mlflow.source.git.commit", "mlflow.source.name", "mlflow.user"
"""Tags that MLflow's page shows by itself."""
FLOW_RUN_TAG = "prefect.flow_run"


def run_origin(recipe: str, corpus: str) -> dict[str, str]:
    """What is known of this run; what is not is left out."""
    from prefect.runtime import flow_run  # here: predictions read descriptions, and start without Prefect

    commit = source_commit()
    known = {
        "recipe": recipe,
        "corpus": corpus,
        "code": mer.__version__,
        "commit": commit.sha if commit is not None else "",
        "changed": "yes" if commit is not None and commit.changed else "",
        "flow": str(flow_run.flow_name or ""),
        "flow_run": _page(),
        "flow_run_name": str(flow_run.name or ""),
        "by": actor(),
    }
    return {name: value for name, value in known.items() if value}


def described(origin: Mapping[str, str], what: str) -> str:
    """A description for people (Markdown): `what`, then where it comes from."""
    commit = origin.get("commit", "")[:12]
    code = f"version {origin.get('code', '?')}" + (f", commit {commit}" if commit else "")
    code += " with changed files" if "changed" in origin else ""
    lines = [what, f"Recipe {origin.get('recipe', '?')}, corpus {origin.get('corpus', '?')}; code: {code}."]
    if "flow_run" in origin:
        lines.append(f"Prefect run: [{origin['flow_run_name']}]({origin['flow_run']})")
    return "\n\n".join(lines)


def run_tags(origin: Mapping[str, str], what: str) -> dict[str, str]:
    """Tags of a tracked run, those among them that MLflow's page shows by itself."""
    tags = {
        COMMIT_TAG: origin.get("commit", ""),
        SOURCE_TAG: f"mer {origin.get('flow', '')}".strip(),
        USER_TAG: origin.get("by", ""),
        FLOW_RUN_TAG: origin.get("flow_run", ""),
        "mer.code": origin.get("code", ""),
        "mer.changed_files": origin.get("changed", ""),
        NOTE_TAG: described(origin, what),
    }
    return {name: value for name, value in tags.items() if value}


def _page() -> str:
    """Address of this flow run's page, without a password; empty outside of a flow run."""
    from prefect.runtime import flow_run
    from prefect.utilities.urls import url_for

    if not flow_run.id:
        return ""
    return shown_address(url_for("flow-run", flow_run.id) or "")
