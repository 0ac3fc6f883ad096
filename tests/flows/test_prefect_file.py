"""`prefect.yaml` has the deployments that `mer deploy` registers, for those who call `prefect deploy` themselves.

After a change that is meant: `WRITE_SNAPSHOTS=1 python -m pytest THIS_FILE` writes it anew.
"""

from __future__ import annotations

import os
from typing import Any

import yaml

from flows.deploying.definitions import FLOWS, Deployment, standard_deployments
from flows.supervision.local_worker import POOL, ROOT

FILE = ROOT / "prefect.yaml"
HEAD = """\
# The deployments that `make deploy` (`mer deploy`) registers, for `prefect deploy --all` with MER_ROOT (the checkout) and
# MER_HOME set. Made out of flows/deploying/definitions.py: see tests/flows/test_prefect_file.py. By this file a form has no
# lists of what the catalogue knows: `mer deploy` fills them.
"""


def _deployment(item: Deployment) -> dict[str, Any]:
    flow = FLOWS[item.flow]
    hours = item.timeout_hours or flow.timeout_hours
    variables = {"MER_RUN_RETRIES": str(item.retries), "MER_RUN_TIMEOUT_HOURS": f"{hours:g}"}
    found: dict[str, Any] = {
        "name": item.name,
        "entrypoint": f"{flow.module.replace('.', '/')}.py:{flow.function}",
        "description": flow.description,
        "tags": list(item.tags),
        "parameters": {"options": dict(item.options)},
        "work_pool": {
            "name": POOL,
            "work_queue_name": item.priority or flow.priority,
            "job_variables": {
                "env": {"PYTHONPATH": "{{ $MER_ROOT }}", "MER_HOME": "{{ $MER_HOME }}", **variables}
            },
        },
    }
    if item.limit is not None:
        found["concurrency_limit"] = {"limit": item.limit, "collision_strategy": item.when_busy}
    if item.cron:
        found["schedules"] = [{"cron": item.cron, "timezone": item.timezone, "slug": "schedule"}]
    return found


def test_the_file_has_what_is_registered() -> None:
    folder = {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $MER_ROOT }}"}}
    now = {"name": "mer-pipeline", "pull": [folder]}
    now |= {"deployments": [_deployment(item) for item in standard_deployments()]}
    if os.environ.get("WRITE_SNAPSHOTS"):
        FILE.write_text(HEAD + yaml.safe_dump(now, sort_keys=False, width=120), encoding="utf-8")
    assert yaml.safe_load(FILE.read_text(encoding="utf-8")) == now
    assert all((ROOT / item["entrypoint"].partition(":")[0]).is_file() for item in now["deployments"])
