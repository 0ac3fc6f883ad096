"""What `s3://BUCKET/PREFIX?endpoint=URL` may say, and what is said of what it may not."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from infra.errors import SettingsError
from infra.objects.bucket_address import BucketAddress, folder_name, is_bucket_address
from infra.objects.mirror import BucketMirror
from infra.settings import Settings


@pytest.mark.parametrize(
    ("text", "bucket", "prefix", "name"),
    [
        ("s3://data/mer2025", "data", "mer2025", "mer2025"),
        ("s3://data/a/b c/d/", "data", "a/b c/d", "d"),
        ("s3://data", "data", "", "data"),
        ("s3://data/?endpoint=http://h:1", "data", "", "data"),
        ("s3://data/语料?endpoint=http://h:1", "data", "语料", "语料"),
    ],
)
def test_addresses(settings: Settings, text: str, bucket: str, prefix: str, name: str) -> None:
    address = BucketAddress.parse(text, settings)
    assert (address.bucket, address.prefix, folder_name(text)) == (bucket, prefix, name)
    assert address.mirror(settings) == settings.cache_folder / "corpora" / bucket / prefix


@pytest.mark.parametrize(
    "text",
    [
        "s3://", "s3:///x", "s3://data/../x", "s3://data/x/../y", "s3://data/x//y", "s3://data/x\ny", "s3://b\\c/x", "s3://../x",
        "s3://b..c/x", "s3://data/x?endpoint=ftp://h", "s3://data/x?endpoint=h:1", "s3://data/" + "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_address(settings: Settings, text: str) -> None:
    with pytest.raises(SettingsError, match="expected"):
        BucketAddress.parse(text, settings)


@pytest.mark.parametrize(
    ("changed", "text", "endpoint", "region"),
    [
        ({}, "s3://data/x", "https://s3.amazonaws.com", "us-east-1"),
        ({}, "s3://data/x?endpoint=http://h:1/&region=eu", "http://h:1", "eu"),
        ({"object_store_url": "s3://mer?endpoint=http://own:2&region=r"}, "s3://data/x", "http://own:2", "r"),
        ({"s3_endpoint": "http://set:3"}, "s3://data/x", "http://set:3", "us-east-1"),
        ({"s3_endpoint": "http://set:3"}, "s3://data/x?endpoint=http://h:1", "http://h:1", "us-east-1"),
    ],
)
def test_the_server_is_that_of_the_address_else_of_the_settings(
    settings: Settings, changed: dict[str, str], text: str, endpoint: str, region: str
) -> None:
    address = BucketAddress.parse(text, settings.model_copy(update=changed))
    assert (address.endpoint, address.region) == (endpoint, region)


def test_the_copy_lies_where_it_lay_when_the_server_moves(settings: Settings) -> None:
    first, second = (
        BucketAddress.parse(f"s3://data/x?endpoint=http://h:{port}", settings) for port in (1, 2)
    )
    assert first.mirror(settings) == second.mirror(settings)


def test_a_secret_is_in_no_message(settings: Settings) -> None:
    secret = settings.model_copy(update={"s3_secret_key": SecretStr("open sesame")})
    with pytest.raises(SettingsError) as caught:
        BucketAddress.parse("s3://data/../x", secret)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("path", ["s3", "./s3://b", "/data/s3:/b", "S3.wav"])
def test_paths_are_no_addresses(path: str) -> None:
    assert not is_bucket_address(path)


@pytest.mark.parametrize("endpoint", ["http://user:hunter2@h:1", "http://hunter2:99999"])
def test_an_endpoint_that_no_client_takes_is_an_error_that_does_not_show_it(
    settings: Settings, endpoint: str
) -> None:
    with pytest.raises(
        SettingsError, match=r"expected (\?endpoint=http://HOST:PORT|an address without user)"
    ) as refused:
        BucketMirror(BucketAddress.parse(f"s3://data/x?endpoint={endpoint}", settings), settings)
    assert "hunter2" not in str(refused.value)
