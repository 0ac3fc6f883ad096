"""Which hidden states of an encoder carry emotion: the layer study on plain arrays, or on clips and an encoder."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.layer_study.config import LayerStudyConfig
from mer.layer_study.scores import LayerStudy
from mer.layer_study.study import study_layers as study_states
from mer.library.arrays import number_array, same_index
from mer.library.extracted import ClipFeatures
from mer.library.extraction import extract
from mer.library.labels import read_labels, read_speakers
from mer.library.options import validated
from mer.library.paths import path_of
from mer.whole_files import write_whole


@dataclass(frozen=True)
class LayerScores:
    """Scores of L hidden states on held-out speakers; 0 is the front end. `print` shows them as a table."""

    mean: NDArray[np.float64]
    """(L,) score of every hidden state, pooled over folds and seeds."""
    low: NDArray[np.float64]
    """(L,) lower end of its interval, speakers resampled."""
    high: NDArray[np.float64]
    """(L,) upper end."""
    weights: NDArray[np.float64]
    """(L,) share of each state in a head that may mix all."""
    best_layer: int
    """The hidden state with the best lower bound."""
    best_block: tuple[int, int]
    """(start, stop): layers start .. stop - 1 make hidden states start + 1 .. stop, whose mean score has the best lower bound."""
    clips: int
    """Labelled clips that have the stream."""
    study: LayerStudy
    """The study itself."""
    config: LayerStudyConfig
    """Its options."""

    def figure(self, path: str | Path) -> Path:
        """Draw the curve with its intervals as PNG; returns the path.

        Example:
            >>> mer.study_layers(states, labels, speakers).figure("layers.png")
        """
        from mer.evaluation.figures import LayerScores as Curve
        from mer.evaluation.figures import layer_curve

        target = path_of("figure", path)
        picture = layer_curve(
            Curve(self.mean, self.low, self.high, self.config.score, self.config.confidence),
            self.best_block,
            weights=self.weights,
        )
        write_whole(target, picture, sweep=True)
        return target

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [f"state {self.config.score:>9}    low   high   share in a mixture"]
        for state, mean in enumerate(self.mean):
            mark = "  best" if state == self.best_layer else ""
            lines.append(
                f"{state:>5} {mean:>9.3f} {self.low[state]:>6.3f} {self.high[state]:>6.3f} {self.weights[state]:>7.3f}{mark}"
            )
        start, stop = self.best_block
        return "\n".join([*lines, f"best block: hidden states {start + 1} to {stop}; {self.clips} clips"])


def study_layers(
    states: Any,
    labels: Any,
    speakers: Any = None,
    *,
    clips: Any = None,
    device: str = "auto",
    cache: str | Path | None = None,
    **options: Any,
) -> LayerScores:
    """Score every hidden state of an encoder by the same linear head on speakers held out, and choose the best block.

    Args:
        states: (N, L, D) hidden states of N clips pooled over time, NaN for clips without; what `mer.extract(..., layers="all")`
            gives; or an encoder's source such as `wheel:moonshine-tiny` or a folder, with `clips`.
        labels: (N,) strings or whole numbers; None, "" and -1 are left out.
        speakers: (N,) who speaks; None where unknown. Without: folds are dealt clip by clip, and a warning says so.
        clips: N paths, or a table of `mer.read_clips`, where `states` is an encoder's source.
        device: where the encoder computes, as for `mer.extract`.
        cache: folder of converted weights, as for `mer.extract`.
        **options: any field of `LayerStudyConfig`: `folds`, `seeds`, `score` (`accuracy` or `waf`), `l2`, `block_length`,
            `pooling` (over time, of an encoder: `mean_std` by default, or `statistics`), ...

    Raises:
        ConfigError: another shape, lengths that differ, one class or one hidden state only, values that are not finite.

    Example:
        >>> curve = mer.study_layers("wheel:moonshine-tiny", clips.emotion, clips.speaker, clips=clips)
        >>> print(curve); curve.best_layer
    """
    config = validated(LayerStudyConfig, "study_layers", options)
    same_index([("states", states), ("labels", labels), ("speakers", speakers), ("clips", clips)])
    if isinstance(states, (str, Path)):
        states = _read(str(states), clips, config, device, cache)
    elif clips is not None:
        raise ConfigError(
            "study_layers: expected `clips` only with an encoder's source, found both arrays and clips"
        )
    elif config.pooling is not None:
        raise ConfigError(
            f"pooling: expected only with an encoder's source, since states are pooled; found {config.pooling}"
        )
    values = number_array("states", states.values if isinstance(states, ClipFeatures) else states)
    if values.ndim != 3:
        raise ConfigError(f"states: expected shape (clips, hidden states, features), found {values.shape}")
    read = read_labels(labels, len(values))
    if read.target is not None:
        raise ConfigError("labels: expected one label a clip, found soft labels")
    who = read_speakers(speakers, len(values))
    if speakers is None:
        warnings.warn(
            "speakers are not given: folds are dealt clip by clip; scores and choice may follow speakers instead of emotion",
            UserWarning,
            stacklevel=2,
        )
    rows = np.flatnonzero(read.known & ~np.isnan(values).all(axis=(1, 2)))
    if not len(rows):
        raise ConfigError(f"states: expected labelled clips with values, found NaN for all of {len(values)}")
    if (broken := np.flatnonzero(~np.isfinite(values[rows]).all(axis=(1, 2)))).size:
        raise ConfigError(
            f"states: expected finite values, found NaN or infinity in {len(broken)} clips, first clip {rows[broken[0]]}; a clip "
            "that is NaN throughout is left out"
        )
    if not np.ptp(values[rows], axis=0).any():
        raise ConfigError(
            f"states: expected values that differ between clips, found the same in all {len(rows)}"
        )
    study = study_states(values[rows], read.index[rows], [who[row] for row in rows], config)
    return LayerScores(
        mean=study.mean,
        low=study.low,
        high=study.high,
        weights=study.weights,
        best_layer=study.best_layer,
        best_block=(study.best_block.start, study.best_block.stop),
        clips=len(rows),
        study=study,
        config=config,
    )


def _read(
    source: str, clips: Any, config: LayerStudyConfig, device: str, cache: str | Path | None
) -> ClipFeatures:
    if clips is None:
        raise ConfigError(
            f"study_layers: expected `clips` (paths, or a table) for the encoder {source}, found none"
        )
    if config.pooling == "attention":
        raise ConfigError(
            "pooling: expected mean_std or statistics, found attention, which reads every frame of every layer; `mer layers "
            "--pooling attention` does that"
        )
    return extract(
        clips, source, device=device, cache=cache, layers="all", pooling=config.pooling or "mean_std"
    )
