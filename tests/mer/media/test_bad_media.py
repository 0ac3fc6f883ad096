"""Everything a stranger's folder can hold: a typed error or a usable result, quickly, and never a connection.

The project's list of bad inputs, and the test of each (here, or in the file named):

| bad input | test |
| --- | --- |
| 0 bytes; random bytes; header only | `test_rubbish` |
| moov missing | `test_damaged_media.py::test_an_mp4_without_its_index_is_truncated` |
| cut at 10-90 %, every container | `test_whole.py::test_a_part_of_a_file_is_truncated` |
| lossless trims | `test_trims.py::test_a_lossless_trim_is_its_visible_part` |
| a sample rate no sound card has | `test_sample_rates.py::test_a_rate_that_no_sound_card_has_is_refused` |
| media in another file | `test_two_lists.py::test_it_is_refused_with_its_reason` |
| audio only | `test_unusual_media.py::test_audio_without_a_picture_is_a_clip` |
| video only | `test_unusual_media.py::test_a_picture_without_audio_is_a_clip` |
| 1 frame | `test_unusual_media.py::test_one_frame_is_a_clip` |
| 16000 x 16000 | `test_hostile_media.py::test_a_huge_picture_is_refused_within_little_memory` |
| ten hours declared | `test_hostile_media.py::test_ten_hours_declared_in_the_header_are_not_believed` |
| 0 fps | `test_unusual_media.py::test_a_frame_rate_of_zero` |
| VFR | `test_frames.py::test_a_variable_frame_rate_is_sampled_by_time_not_by_number` |
| non-monotonic pts | `test_unusual_media.py::test_time_stamps_that_go_back_and_forth` |
| 8 channels | `test_audio.py::test_eight_planar_channels` |
| 8 kHz; 192 kHz | `test_unusual_media.py::test_unusual_rates_and_channels_are_read` |
| silence; black | `test_unusual_media.py::test_silence_and_black_are_clips` |
| no face | `test_faces.py::test_no_face_gives_the_whole_picture_and_a_flag` |
| two faces | `test_faces.py::test_yunet_finds_one_face_and_two` |
| mkv renamed .mp4 | `test_hostile_media.py::test_matroska_renamed_is_read_for_what_it_is` |
| gif renamed .mp4 | `test_hostile_media.py::test_a_gif_is_a_clip_without_sound` |
| m3u8, ffconcat, SDP renamed .mp4 | `test_hostile_media.py::test_nothing_in_a_file_opens_a_connection` |
| names `-i.mp4`, `a;b$(id)`, non-UTF-8, emoji | `test_hostile_media.py::test_odd_names_are_names` |
| names with a newline | `test_hostile_media.py::test_unsafe_names_are_refused_before_the_file_is_opened` |
| name `../x` | `../corpora/test_table.py::test_formulas_and_unsafe_names_are_left_out_and_kept_as_text_elsewhere` |
| names of 255 bytes | `test_hostile_media.py::test_long_names_are_refused` |
| symlink to a system file | `test_hostile_media.py::test_a_link_to_a_system_file_is_not_media` |
| FIFO | `test_hostile_media.py::test_fifo_folder_device_and_absent_file` |
| a batch goes on, 30 s, 1 GiB, no traceback | `test_a_folder_of_bad_files_costs_little_and_the_batch_goes_on` |
| CSV: BOM, CRLF | `../corpora/test_table.py::test_spreadsheet_dialects_read_the_same` |
| CSV: unknown class | `../corpora/test_table.py::test_all_problems_are_reported_together_with_their_rows` |
| CSV: name with two labels | `../corpora/test_table.py::test_contradicting_rows_take_the_clip_out_and_repeated_ones_do_not` |
| CSV: `=cmd()` | `../corpora/test_table.py::test_formulas_and_unsafe_names_are_left_out_and_kept_as_text_elsewhere` |
| CSV: NaN valence | `../corpora/test_table.py::test_every_column` |
| CSV: absent clip | `../corpora/test_table.py::test_media_without_a_row_are_unlabelled_and_rows_without_media_are_left_out` |
| weights: pickle .bin | `../encoders/test_weights.py::test_pickled_weights_are_refused` |
| weights: safetensors with a lying header | `../encoders/test_weights.py::test_lying_header_is_refused` |
| weights: config with `auto_map` | `../encoders/test_weights.py::test_configuration_that_asks_for_code_is_refused` |
| YAML with tags | `../recipes/test_recipe.py::test_what_is_no_recipe_is_refused` |
| YAML with an anchor bomb | `../recipes/test_recipe.py::test_an_anchor_bomb_is_refused_at_once` |
| object keys with `..` | `../../infra/test_objects.py::test_keys_that_are_not_plain_are_refused` |
| npz holding a pickle that would run code | `../features/test_precomputed.py::test_archive_named_npy_is_refused` |
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_media import READERS, huge_picture, reason_of

from mer.errors import QuarantineReason
from mer.media.contained import ContainedMedia


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", QuarantineReason.EMPTY_FILE),
        (b"just a note\n" * 100, QuarantineReason.NOT_MEDIA),
        (np.random.default_rng(1).bytes(20_000), QuarantineReason.NOT_MEDIA),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", QuarantineReason.TRUNCATED),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(5000), QuarantineReason.TRUNCATED),
    ],
    ids=["empty", "text", "random", "header only", "header and zeros"],
)
def test_rubbish(
    tmp_path: Path, read: Callable[[Path], object], content: bytes, reason: QuarantineReason
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert reason_of(read, path) is reason


def test_every_bad_input_of_the_table_above_has_its_test() -> None:
    named = re.findall(r"`(?:([\w./]+)::)?(test_\w+)` \|", __doc__ or "")
    assert len(named) == (__doc__ or "").count("\n|") - 2 > 30
    here = Path(__file__)
    for file, test in named:
        assert f"def {test}(" in (here.parent / (file or here.name)).read_text(), (file, test)


def test_a_folder_of_bad_files_costs_little_and_the_batch_goes_on(
    tmp_path: Path, movie: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each within 30 s and 1 GiB, nothing printed, and the good clip at the end is read."""
    whole = movie.read_bytes()
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, content in {
        "empty.mp4": b"",
        "random.mp4": np.random.default_rng(5).bytes(50_000),
        "header.mp4": whole[:40],
        "cut.mp4": whole[: len(whole) // 2],
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "=i.mp4": whole,
    }.items():
        (folder / name).write_bytes(content)
    huge_picture(folder / "huge.mp4", 16_000)
    os.mkfifo(folder / "fifo.mp4")
    (folder / "system.mp4").symlink_to("/etc/passwd")
    with ContainedMedia() as contained:
        for path in sorted(folder.iterdir()):
            reasons = {
                reason_of(read, path)
                for read in (
                    contained.probe,
                    contained.decode_audio,
                    lambda clip: contained.sample_frames(clip, 4),
                )
            }
            assert reasons != {None}, path.name
            assert reasons.isdisjoint({QuarantineReason.DECODER_CRASHED, QuarantineReason.TIMED_OUT}), (
                path.name
            )
        assert contained.probe(movie).has_video
        (worker,) = contained.process_ids
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert peak is not None
    assert int(peak[1]) < 1 << 20
    assert "Traceback" not in "".join(capfd.readouterr())
