"""Records of generations at a start: what was found equal is not written out again, what changed since is."""

from __future__ import annotations

import pytest
from catalogue_rows import clip, generation, label

from flows.catalogue_care import write_records
from infra.catalogue import Catalogue, PseudoLabelRow, open_catalogue
from infra.objects import open_store
from infra.objects.layout import GENERATION_RECORDS
from infra.settings import Settings
from infra.store_identity import belong_together


@pytest.fixture
def home(settings: Settings) -> Settings:
    store = open_store(settings)
    with open_catalogue(settings) as catalogue:
        belong_together(catalogue, store, settings.object_store_url)
        catalogue.upsert_corpus("c", root="/corpus", format="table", emotions=("neutral", "angry"))
        catalogue.upsert_clips("c", [clip(1, split="unlabelled")])
        for key in ("g", "h"):
            catalogue.add_generation(generation(key, "c"), [label(1, "angry", 0.9, None)])
    return settings


def test_a_start_reads_no_labels_of_generations_that_were_recorded(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "wrote 2 records" in str(write_records(home))
    assert write_records(home) is None
    read: list[str] = []
    labels = Catalogue.pseudo_labels

    def noted(self: Catalogue, key: str) -> list[PseudoLabelRow]:
        read.append(key)
        return labels(self, key)

    monkeypatch.setattr(Catalogue, "pseudo_labels", noted)
    assert write_records(home) is None
    assert read == []


def test_what_changed_or_went_since_is_written(home: Settings) -> None:
    write_records(home)
    for change in ("withdraw_generation", "restore_generation"):  # by a process whose store was away
        with open_catalogue(home) as catalogue:
            getattr(catalogue, change)("g")
        assert "wrote 1 records" in str(write_records(home)), change
    store = open_store(home)
    store.delete(next(store.keys(GENERATION_RECORDS)))
    assert "wrote 1 records" in str(write_records(home))
    store.put(next(store.keys(GENERATION_RECORDS)), b"something else")
    assert "wrote 1 records" in str(write_records(home))
    assert write_records(home) is None


@pytest.mark.parametrize("memory", ["", "[]", '{"x": 1}', "[" * 100_000])
def test_a_damaged_memory_is_none(home: Settings, memory: str) -> None:
    write_records(home)
    (home.cache_folder / "records-of-generations.json").write_text(memory)
    assert write_records(home) is None
