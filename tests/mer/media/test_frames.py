from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer.demo.clip_file import write_clip
from mer.errors import MediaError, QuarantineReason
from mer.media import frames as frames_module
from mer.media.frame_plan import PacketMark, middles, plan_stretches
from mer.media.frames import sample_frames

Make = Callable[..., np.ndarray]


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames of a counting movie these are."""
    return [round(float(frame.mean()) / 8) for frame in frames]


def test_frames_come_from_the_middles_of_equal_parts(movie: Path) -> None:
    frames = sample_frames(movie, 4)
    assert (frames.shape, frames.dtype) == ((4, 64, 64, 3), np.uint8)
    assert numbers(frames) == [2, 7, 12, 17]


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_any_count(movie: Path, count: int) -> None:
    assert numbers(sample_frames(movie, count)) == [int((i + 0.5) * 20 / count) for i in range(count)]


def test_fewer_frames_than_asked_for_are_repeated(tmp_path: Path, counting_frames: Make) -> None:
    path = tmp_path / "short.mp4"
    write_clip(path, counting_frames(3), 10, None, 16_000)
    assert numbers(sample_frames(path, 6)) == [0, 0, 1, 1, 2, 2]
    write_clip(path, counting_frames(1), 10, None, 16_000)
    assert numbers(sample_frames(path, 3)) == [0, 0, 0]


def write_with_stamps(path: Path, frames: np.ndarray, stamps: list[int]) -> None:
    """A movie whose frame n is shown from `stamps[n]` ms on."""
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, stamp in zip(frames, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))


def test_a_variable_frame_rate_is_sampled_by_time_not_by_number(
    tmp_path: Path, counting_frames: Make
) -> None:
    """Ten frames in the first 100 ms, then one frame every 300 ms: most of the time belongs to the late ones."""
    path = tmp_path / "vfr.mkv"
    stamps = [10 * n for n in range(10)] + [100 + 300 * n for n in range(5)]
    write_with_stamps(path, counting_frames(15), stamps)
    chosen = numbers(sample_frames(path, 4))
    assert chosen == sorted(chosen)
    assert sum(number >= 10 for number in chosen) >= 3


def test_large_pictures_are_scaled_down(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    write_clip(path, np.full((4, 96, 192, 3), 90, np.uint8), 10, None, 16_000)
    assert sample_frames(path, 2, max_side=64).shape == (2, 32, 64, 3)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    red = np.zeros((4, 64, 64, 3), np.uint8)
    red[..., 0] = 220
    write_clip(path, red, 10, None, 16_000)
    means = sample_frames(path, 1)[0].mean(axis=(0, 1))
    assert means[0] > 180 > 60 > max(means[1:])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_rotation_mark_turns_pictures_upright(tmp_path: Path, degrees: int) -> None:
    """Phones store what the sensor saw and a matrix that says how to turn it."""
    picture = np.zeros((4, 64, 128, 3), np.uint8)
    picture[:, :32, :32] = 255  # white corner, top left
    path = tmp_path / "turned.mp4"
    write_clip(path, picture, 10, None, 16_000)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of facts
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    one = 1 << 16
    for offset, value in ((0, cosine * one), (4, sine * one), (12, -sine * one), (16, cosine * one)):
        content[place + offset : place + offset + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    frame = sample_frames(path, 1)[0]
    expected = np.rot90(picture[0], k=-degrees // 90)  # the matrix turns clockwise
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 12


def test_without_video_there_are_no_frames(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1600, np.float32), 16_000)
    with pytest.raises(MediaError) as caught:
        sample_frames(path, 4)
    assert caught.value.reason is QuarantineReason.NO_USABLE_STREAM


def grouped_movie(path: Path, codec: str, count: int, options: dict[str, str]) -> None:
    """A movie whose frame n has grey 2 n, in groups of pictures as the options say."""
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = 64, 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(count):
            picture = np.full((64, 64, 3), 2 * number, np.uint8)
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        sink.mux(stream.encode(None))


GROUPS = {
    "closed groups": ("libx264", "a.mp4", {"g": "12", "bf": "3"}),
    "open groups": ("libx264", "a.mkv", {"g": "12", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
    "one group": ("libx264", "a.mp4", {"g": "1000"}),
    "keyframes only": ("mjpeg", "a.mkv", {}),
    "avi with bidirectional frames": ("mpeg4", "a.avi", {"g": "10", "bf": "2"}),
    "transport stream": ("libx264", "a.ts", {"g": "12", "bf": "3"}),
    "programme stream": ("mpeg2video", "a.mpg", {"g": "12", "bf": "2"}),
}


@pytest.fixture(scope="module", params=GROUPS)
def grouped(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[float]]:
    """A movie of 120 frames and the mean grey of each, by plainly decoding everything."""
    codec, name, options = GROUPS[request.param]
    path = tmp_path_factory.mktemp("grouped") / name
    grouped_movie(path, codec, 120, options)
    with av.open(str(path)) as source:
        return path, [float(frame.to_ndarray(format="rgb24").mean()) for frame in source.decode(video=0)]


@pytest.mark.parametrize("count", [1, 3, 16, 120])
def test_skipping_to_keyframes_gives_the_frames_that_decoding_everything_gives(
    grouped: tuple[Path, list[float]], count: int
) -> None:
    path, everything = grouped
    assert len(everything) == 120
    means = [float(frame.mean()) for frame in sample_frames(path, count)]
    assert means == pytest.approx([everything[int((i + 0.5) * 120 / count)] for i in range(count)], abs=0.5)


def test_packets_that_no_wanted_frame_needs_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    grouped_movie(path, "libx264", 120, {"g": "12", "bf": "0", "x264-params": "scenecut=0:keyint=12"})
    decoded = []
    decode = frames_module._decode
    monkeypatch.setattr(
        frames_module, "_decode", lambda stream, packet: decoded.append(packet) or decode(stream, packet)
    )
    sample_frames(path, 3)  # frames 20, 60, 100: of groups that begin at 12, 60, 96
    assert sum(packet is not None for packet in decoded) == 9 + 1 + 5


def test_a_damaged_keyframe_costs_its_group_only(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    grouped_movie(path, "libx264", 120, {"g": "12", "bf": "0"})
    with av.open(str(path)) as source:
        keyframe = [bytes(packet) for packet in source.demux(video=0) if packet.size and packet.is_keyframe][
            5
        ]
    content = path.read_bytes()
    path.write_bytes(content.replace(keyframe, bytes(len(keyframe))))
    means = [float(frame.mean()) for frame in sample_frames(path, 3)]
    assert (means[0], means[2]) == pytest.approx((40, 200), abs=3)


marks_of_a_video = st.lists(
    st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=60
).map(  # decoding order: a key frame first, times shifted by up to 10 places
    lambda pairs: [
        PacketMark(20 * number + shift, number == 0 or key, True) for number, (shift, key) in enumerate(pairs)
    ]
)


@given(marks_of_a_video, st.integers(1, 12))
def test_every_wanted_frame_is_in_a_stretch_that_begins_with_a_keyframe(
    marks: list[PacketMark], count: int
) -> None:
    stamps = sorted(mark.pts for mark in marks if mark.pts is not None)
    wanted = [stamps[position] for position in middles(stamps, count)]
    stretches = plan_stretches(marks, wanted)
    assert [stamp for stretch in stretches for stamp in stretch.stamps] == sorted(set(wanted))
    for before, after in pairwise(stretches):
        assert before.end < after.begin
    for stretch in stretches:
        assert marks[stretch.begin].key
        inside = {mark.pts for mark in marks[stretch.begin : stretch.end + 1]}
        assert inside.issuperset(stretch.stamps)
