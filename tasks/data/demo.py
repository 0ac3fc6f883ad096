"""The demo corpus in the data folder, made on first use."""

from __future__ import annotations

from prefect import task

from tasks.stage.workspace import workspace


@task(name="make demo corpus")
def make_demo_corpus(clips: int, seed: int) -> str:
    """Generate the demo corpus unless it is there; returns its folder."""
    from mer.demo import DemoConfig, generate_demo

    root = workspace().settings.data_folder / f"demo-{clips}-{seed}"
    return str(generate_demo(root, DemoConfig(clips=clips, seed=seed)))
