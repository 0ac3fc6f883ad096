"""What a package in memory holds to read clips by: encoders, adapted blocks, alignments, recognisers, each loaded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from mer.encoders import resolve_weights
from mer.features.extract import Extractor, SpecExtractor, build_extractor, build_extractors
from mer.features.layered import adaptation_placement, base_identity, load_layers
from mer.features.spec import FeatureSpec
from mer.media.detector_choice import require_content
from mer.predictor.package import ModelPackage, detector_path

if TYPE_CHECKING:
    from mer.adaptation.cross_fit import CrossFitted
    from mer.adaptation.finetune import AdaptedBlock
    from mer.alignment.pretrain import Alignment
    from mer.features.clip_media import Inspector
    from mer.features.multi import MultiExtractor
    from mer.predictor.side_by_side import EncoderThreads
    from mer.transcription.recogniser import Recogniser

Value = TypeVar("Value")


class LoadedParts:
    """The parts of a package that depend on no clip; each is loaded when it is first needed.

    Args:
        package: record of the model version.
        folder: its folder, for adapters and alignments.
        weights: cache folder of encoder weights.
        inspector: flags what is decoded; none: nothing is flagged, features are the same.
        threads: where encoders compute side by side; none: in the thread that asks, one after another.
    """

    def __init__(
        self,
        package: ModelPackage,
        folder: Path,
        weights: Path,
        inspector: Inspector | None = None,
        threads: EncoderThreads | None = None,
    ) -> None:
        self.package = package
        self._folder = folder
        self._weights = weights
        self._inspector = inspector
        self._threads = threads
        self._opening = RLock()
        self._extractors: dict[FeatureSpec, Extractor] = {}
        self._several: dict[tuple[FeatureSpec, ...], MultiExtractor] = {}
        self._recognisers: dict[str, Recogniser] = {}
        self._settled: dict[FeatureSpec, FeatureSpec] = {}
        self._lent: LoadedParts | None = None
        self._blocks: dict[str, AdaptedBlock] = {}
        self._cross_fitted: dict[str, CrossFitted] = {}
        self._alignments: dict[str, Alignment] = {}

    def borrow(self, other: LoadedParts) -> None:
        """Take frozen encoders from another package in memory where both read the same features: none is loaded twice."""
        if other._weights == self._weights:
            self._lent = other

    def settle(self) -> None:
        """Borrow no more: what was not taken until now is forgotten with its package."""
        self._lent = None

    def extractor(self, spec: FeatureSpec) -> Extractor:
        """The extractor of a feature; streams of equal features share it."""
        with self._opening:
            packaged = self._packaged(spec)
            if packaged not in self._extractors:
                lent = self._lent._extractors.get(packaged) if self._lent is not None else None
                self._extractors[packaged] = lent or self._extractor(packaged)
            return self._extractors[packaged]

    def extractors(self, specs: tuple[FeatureSpec, ...]) -> MultiExtractor:
        """The extractor of variants of one feature (speeds): one decoding of a clip, one encoder in memory."""
        with self._opening:
            packaged = tuple(self._packaged(spec) for spec in specs)
            if packaged not in self._several:
                lent = self._lent._several.get(packaged) if self._lent is not None else None
                self._several[packaged] = lent or self._built(packaged)
            return self._several[packaged]

    def each(self, jobs: Sequence[Callable[[], Value]]) -> list[Value]:
        """What jobs give that read streams, in their order; side by side where encoders compute so."""
        return [job() for job in jobs] if self._threads is None else self._threads.streams(jobs)

    def _extractor(self, spec: FeatureSpec) -> Extractor:
        if self._threads is None or spec.precomputed:
            return build_extractor(spec, self._weights, inspector=self._inspector)
        return SpecExtractor(spec, self._built((spec,)))

    def _built(self, specs: tuple[FeatureSpec, ...]) -> MultiExtractor:
        if self._threads is None:
            return build_extractors(specs, self._weights, inspector=self._inspector)
        from mer.predictor.side_by_side import SideBySide

        return SideBySide(specs, self._weights, self._threads, self._inspector)

    def _packaged(self, spec: FeatureSpec) -> FeatureSpec:
        """The spec with the face detector whose file the package holds; a file that is not there is looked for in the weights."""
        if spec not in self._settled:
            self._settled[spec] = self._with_detector(spec)
        return self._settled[spec]

    def _with_detector(self, spec: FeatureSpec) -> FeatureSpec:
        inside = detector_path(spec.detector) if spec.detector is not None else None
        if spec.detector is None or inside is None or not (path := self._folder / inside).is_file():
            return spec
        require_content(path, spec.detector)
        return spec.with_detector(str(path))

    def recogniser(self, source: str) -> Recogniser:
        """A speech recogniser."""
        from mer.transcription.recogniser import open_recogniser

        if source not in self._recognisers:
            lent = self._lent._recognisers.get(source) if self._lent is not None else None
            self._recognisers[source] = lent or open_recogniser(source)
        return self._recognisers[source]

    def block(self, name: str) -> AdaptedBlock:
        """A stream's adapted block; the stream has an adapter."""
        from mer.adaptation.finetune import load_adapter

        if name not in self._blocks:
            self._blocks[name] = load_adapter(*self._adapter(name))
        return self._blocks[name]

    def cross_fitted(self, name: str) -> CrossFitted:
        """The cross-fitted adapters of a stream that is read as their posteriors."""
        from mer.adaptation.cross_fit import load_cross_fitted

        if name not in self._cross_fitted:
            self._cross_fitted[name] = load_cross_fitted(*self._adapter(name))
        return self._cross_fitted[name]

    def _adapter(self, name: str) -> tuple[Path, Any, str]:
        """Folder of a stream's adapter, the encoder it belongs to, and that one's identity."""
        spec, adapter = self.package.recipe.streams[name].features, self.package.served(name).adapter
        assert adapter is not None
        weights = resolve_weights(spec.source, self._weights)
        placement = adaptation_placement(spec, weights, self._weights)
        return self._folder / adapter, load_layers(spec, weights, placement), base_identity(spec, weights)

    def alignment(self, name: str) -> Alignment:
        """A stream's alignment; the stream has one."""
        from mer.alignment.pretrain import load_alignment

        folder = self.package.served(name).alignment
        assert folder is not None
        if name not in self._alignments:
            self._alignments[name] = load_alignment(self._folder / folder, self._weights)
        return self._alignments[name]
