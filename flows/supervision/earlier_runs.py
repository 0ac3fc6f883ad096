"""Flow runs that a version before 0.5 left running at the home's own server: no record says whose they are.

That server asked for no password. Since it does, no process of then can report to it any more: whatever began before the password
was made is dead for it, and would keep the slot of its deployment for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime

from infra.prefect_api import PrefectApi
from infra.services.home_secrets import prefect_auth_string, secret_file
from infra.settings import Settings
from infra.whole_files import write_whole

_MARK = "prefect.earlier-runs-ended"


def end_earlier_runs(settings: Settings, api_url: str) -> int:
    """Propose CRASHED for them, once a home; returns how many became crashed.

    Raises:
        PrefectUnavailable, PrefectRefused: the server does not answer; the next start asks again.
    """
    mark, secret = settings.services_folder / _MARK, secret_file(settings, "prefect")
    if mark.exists() or not secret.exists():
        return 0
    api = PrefectApi(api_url, auth=prefect_auth_string(settings, api_url))
    began = datetime.fromtimestamp(secret.stat().st_mtime, UTC)
    ended = 0
    while runs := api.running_since_before(began):
        accepted = [
            api.propose_flow_state(
                run, "CRASHED", "it began before the server had a password, and cannot report any more"
            )
            for run in runs
        ]
        ended += sum(accepted)
        if not any(accepted):
            break
    write_whole(mark, b"", mode=0o600)
    return ended
