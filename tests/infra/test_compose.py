"""What docker/compose.yaml says: its form, who may talk to its servers, that nothing runs as root, and where its secrets are.

Docker itself is asked where it is installed (`docker compose config`); the images are not built here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli.commands import app
from infra.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
INTERPOLATED = re.compile(r"\$\{(\w+)")
NAMED = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")
OURS = "mer-pipeline:"
JOBS = ("folders", "init")
"""They end, so nobody asks for their health; others wait for their end."""


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return read


COMPOSE = compose()
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
MONITORING = {"prometheus", "grafana"}
"""Of profile `monitoring`: they read, and nothing waits for them."""
WORKERS = {"worker", "cpu-worker", "gpu-worker", "gpu-worker-on-cpu"}


def test_the_topology_is_whole() -> None:
    assert {"postgres", "s3", "prefect", "mlflow", "metrics", "serve", *MONITORING, *JOBS} | WORKERS == set(
        SERVICES
    )
    reserved = SERVICES["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert reserved == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert SERVICES["gpu-worker"]["build"]["args"]["TORCH"] == "cuda"
    databases = set(re.findall(r"CREATE DATABASE (\w+);", (DOCKER / "databases.sql").read_text()))
    used = set(re.findall(r"@postgres/(\w+)", (DOCKER / "compose.yaml").read_text()))
    assert used == databases | {SERVICES["postgres"]["environment"]["POSTGRES_DB"]}
    assert len(used) == 4, "a database each"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    for other, condition in service.get("depends_on", {}).items():
        ends = condition["condition"] == "service_completed_successfully"
        assert ends == (other in JOBS)
        assert ends or condition["condition"] == "service_healthy"
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    mounted = {volume.partition(":")[0] for volume in service.get("volumes", ()) if volume[0] not in ".$"}
    assert mounted <= set(COMPOSE["volumes"])
    for volume in service.get("volumes", ()):
        if volume.startswith("./"):
            assert (DOCKER / volume.partition(":")[0]).exists()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_server_and_worker_says_how_it_is(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name in JOBS:
        assert check == {"disable": True}
        assert SERVICES[name]["restart"] == "no"
    else:
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "retries"} <= set(check)
        assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_runs_as_root(name: str) -> None:
    service = SERVICES[name]
    text = (DOCKER / "Dockerfile").read_text()
    if service["image"].startswith(OURS):
        assert "user" not in service
        assert re.findall(r"^USER (\w+)", text, re.MULTILINE) == ["worker"]
    else:
        assert service["user"] not in ("root", "0", "0:0")
    assert not service.get("privileged")
    assert "--uid 1000" in text
    assert SERVICES["s3"]["user"] == "1000:1000", "the owner of the folder that is mounted"


def _mounted_text(service: Mapping[str, Any]) -> str:
    """What stands in the files of ours that a service reads."""
    mounted = [volume.partition(":")[0] for volume in service.get("volumes", ()) if volume.startswith("./")]
    return "\n".join((DOCKER / name).read_text(encoding="utf-8") for name in mounted)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_secrets_are_files_and_stand_nowhere_else(name: str) -> None:
    """`docker inspect` shows the environment, and `ps` of the host shows arguments to every user."""
    service = SERVICES[name]
    for key in ("command", "entrypoint", "healthcheck"):
        assert not INTERPOLATED.findall(str(service.get(key, "")))
        assert not NAMED.findall(str(service.get(key, "")))
    environment: Mapping[str, str] = service.get("environment", {})
    files = {name: path for name, path in environment.items() if name.endswith("_FILE")}
    for variable, path in files.items():
        assert path.removeprefix("/run/secrets/") in service["secrets"], variable
    named = {found for value in environment.values() for found in NAMED.findall(str(value))}
    assert {f"{found}__FILE" for found in named} <= set(files)
    named_in_files = set(re.findall(r"/run/secrets/(\w+)", _mounted_text(service)))
    assert {path.rpartition("/")[2] for path in files.values()} | named_in_files == set(
        service.get("secrets", ())
    )
    shown = {
        key: value for key, value in environment.items() if key not in files and not NAMED.search(str(value))
    }
    assert not [key for key in shown if re.search("PASSWORD|SECRET|AUTH|KEY", key)]


def test_all_that_may_be_set_is_no_secret() -> None:
    assert set(INTERPOLATED.findall((DOCKER / "compose.yaml").read_text())) == {
        "CLIPS",
        "MER_LOG_FORMAT",
        "MER_IMAGE_TAG",
        "TORCH_INDEX",
    }
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / ".dockerignore").read_text().startswith("*\n"), (
        "what is not named never reaches the builder"
    )


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_open_on_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", sorted(WORKERS | {"init", "mlflow", "metrics", "serve"}))
def test_its_variables_are_settings(name: str) -> None:
    known = {f"MER_{field.upper()}" for field in Settings.model_fields}
    ours = {key for key in SERVICES[name]["environment"] if key.startswith("MER_")}
    assert {key.removesuffix("__FILE") for key in ours} <= known


@pytest.mark.parametrize("name", ["init", "cpu-worker", "gpu-worker", "gpu-worker-on-cpu", "serve"])
def test_its_commands_are_ours(name: str) -> None:
    import typer

    program, command, *options = SERVICES[name]["command"]
    assert program == "mer"
    with typer.main.get_command(app).make_context(
        "mer", [command, *options], resilient_parsing=True
    ) as context:
        chosen = context.command.get_command(context, command)  # type: ignore[attr-defined]
        assert chosen is not None
        assert chosen.make_context(command, list(options)).params


def test_a_server_knows_its_own_password_only() -> None:
    for name, other in (("prefect", "mlflow_password"), ("mlflow", "prefect_password")):
        assert other not in SERVICES[name]["secrets"]
    assert set(SERVICES["cpu-worker"]["secrets"]) == set(COMPOSE["secrets"]) - {
        "metrics_password",
        "serve_token",
        "grafana_password",
    }
    assert set(SERVICES["metrics"]["secrets"]) == {"postgres_password", "metrics_password"}


def test_secrets_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    shutil.copy(DOCKER / "secrets.sh", tmp_path / "secrets.sh")
    for _ in range(2):
        subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True, capture_output=True)
        made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
        first = locals().get("first") or made
    assert made == first
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert set(made) == wanted
    assert all(re.fullmatch(r"[0-9a-f]{32}", text) for text in made.values())
    assert len(set(made.values())) == len(made)


def test_docker_reads_it(tmp_path: Path) -> None:
    asked = shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True)
    if not asked or asked.returncode != 0:
        pytest.skip("docker compose is not installed")
    read = subprocess.run(
        [
            "docker",
            "compose",
            "-f",
            str(DOCKER / "compose.yaml"),
            "--profile",
            "gpu",
            "config",
            "--format",
            "json",
        ],
        capture_output=True,
        text=True,
    )
    assert read.returncode == 0, read.stderr
    assert set(json.loads(read.stdout)["services"]) == set(SERVICES) - {"gpu-worker-on-cpu"} - MONITORING


def test_kubernetes_jobs_take_what_the_work_pool_offers() -> None:
    template = json.loads((DOCKER / "kubernetes-work-pool.json").read_text())
    offered = set(template["variables"]["properties"])
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used <= offered
    assert offered <= used
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_kubernetes_workers_are_of_both_pools() -> None:
    every = list(yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text()))
    found = [item for item in every if "pool" in item["metadata"]["labels"]]
    containers = {item["metadata"]["labels"]["pool"]: item["spec"]["template"]["spec"] for item in found}
    assert set(containers) == {"mer-cpu", "mer-gpu"}
    for pool, pod in containers.items():
        (container,) = pod["containers"]
        assert container["args"][:4] == ["mer", "worker", "--pool", pool.removeprefix("mer-")]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["livenessProbe"]["exec"]["command"][-1] == "flows.workers.health"
        limits = container["resources"]["limits"]
        assert limits.get("nvidia.com/gpu") == (1 if pool == "mer-gpu" else None)


def test_kubernetes_has_one_page_of_metrics_by_its_service_s_name() -> None:
    every = list(yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text()))
    kinds = {item["kind"]: item for item in every if item["metadata"]["labels"].get("part") == "metrics"}
    (container,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    (port,) = kinds["Service"]["spec"]["ports"]
    assert f"{kinds['Service']['metadata']['name']}:{port['port']}" in container["args"][-1].split(",")
    assert container["args"][:3] == SERVICES["metrics"]["command"][:3] == ["python", "-m", "infra.metrics"]
    assert kinds["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
