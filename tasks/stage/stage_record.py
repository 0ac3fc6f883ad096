"""What the catalogue and the tracker are to hold of a stage: on disk before the commit, handed on after it.

Whoever finds the artifact and the record of a killed process (the next run of the stage, or the next start of any flow) hands
the record on in its place. Handed on twice it changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infra.artifacts import ArtifactRef
from infra.whole_files import write_whole
from tasks.stage.work_folder import clear_if_abandoned
from tasks.stage.workspace import Workspace

logger = logging.getLogger(__name__)

RECORD = "stage-record.json"


@dataclass(frozen=True)
class StageRecord:
    """A stage that has computed its result."""

    stage: str
    code_version: str
    libraries: Mapping[str, str]
    """Distribution -> version of what computed it."""
    tracked: Mapping[str, Any] | None
    """Event for the tracker; None: the stage is not tracked."""

    def write(self, folder: Path) -> None:
        """Put the record into the stage's work folder. Raises StoreFull or WriteFailed."""
        write_whole(folder / RECORD, json.dumps(asdict(self)).encode())


def settle(space: Workspace, folder: Path, ref: ArtifactRef) -> bool:
    """Hand on the record in `folder`, if there is one, whose artifact is visible as `ref`; True: the folder may be cleared."""
    try:
        record = StageRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return True
    except (ValueError, TypeError) as error:
        logger.warning("the record of stage %s in %s cannot be read: %s", ref.kind, folder, error)
        return True
    space.catalogue.record_artifact(
        ref, stage=record.stage, code_version=record.code_version, libraries=record.libraries
    )
    if record.tracked is not None:
        tags = {"artifact": f"{ref.kind}/{ref.key}", "artifact_sha256": ref.sha256}
        space.tracker.record({**record.tracked, "tags": {**record.tracked["tags"], **tags}})
    (folder / RECORD).unlink()
    return True


def settle_killed_stages(space: Workspace) -> int:
    """Hand on the records of stages that were killed after their commit, and clear their folders; returns how many."""
    settled = 0
    for path in sorted(space.work.glob(f"*/*/{RECORD}")):
        folder = path.parent
        ref = space.artifacts.lookup(folder.parent.name, folder.name)
        if ref is not None:  # else it was killed before the commit, and is computed again
            settled += clear_if_abandoned(folder, partial(settle, space, folder, ref))
    return settled
