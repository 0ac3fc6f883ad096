"""The sections in the order of the page. A new one is a module beside this, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from mer.report.blocks import Section
from tasks.report.collected import Collected
from tasks.report.sections.agreement import agreement
from tasks.report.sections.alignment import alignment
from tasks.report.sections.classes_taken import confusion
from tasks.report.sections.clips import clips
from tasks.report.sections.curves import curves
from tasks.report.sections.data import data
from tasks.report.sections.decision import decision
from tasks.report.sections.groups import groups
from tasks.report.sections.label_shift import label_shift
from tasks.report.sections.layers import layers
from tasks.report.sections.maps import maps
from tasks.report.sections.origin import origin
from tasks.report.sections.pseudo_labels import pseudo_labels
from tasks.report.sections.reliability import reliability
from tasks.report.sections.results import results
from tasks.report.sections.search import search
from tasks.report.sections.sure_answers import sure_answers
from tasks.report.sections.trained_on import trained_on
from tasks.report.sections.weights import weights

SECTIONS: tuple[Callable[[Collected], Section], ...] = (
    results,
    decision,
    trained_on,
    agreement,
    confusion,
    groups,
    reliability,
    sure_answers,
    clips,
    weights,
    layers,
    alignment,
    maps,
    label_shift,
    pseudo_labels,
    curves,
    search,
    data,
    origin,
)
