"""The bucket's settings: whole, absent, or refused with what is missing; and the key never shown."""

from __future__ import annotations

import pytest

from voice_library.errors import StorageUnavailable
from voice_library.stores.settings import BucketSettings

WHOLE = {
    "BUCKET_ENDPOINT_URL": "https://s3.eu-central-1.amazonaws.com",
    "BUCKET_NAME": "voices",
    "BUCKET_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "BUCKET_SECRET_ACCESS_KEY": "very-secret",
}


def test_four_variables_make_a_bucket() -> None:
    settings = BucketSettings.from_environment({**WHOLE, "BUCKET_PREFIX": "/team/voices/", "PATH": "/bin"})
    assert settings is not None
    assert (settings.bucket, settings.prefix, settings.region_name) == ("voices", "team/voices/", "eu-central-1")
    assert settings.cache_max_bytes == 2_000_000_000
    assert settings.sync_on_start == "none"


def test_no_variable_means_no_bucket() -> None:
    assert BucketSettings.from_environment({}) is None
    assert BucketSettings.from_environment(dict.fromkeys(WHOLE, "")) is None
    assert BucketSettings.from_environment({"BUCKET_PREFIX": "left over"}) is None


@pytest.mark.parametrize("missing", WHOLE)
def test_partial_settings_name_what_is_missing(missing: str) -> None:
    with pytest.raises(StorageUnavailable, match=f"{missing} not; set all four") as caught:
        BucketSettings.from_environment({**WHOLE, missing: " "})
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BUCKET_ENDPOINT_URL", "s3.amazonaws.com"),
        ("BUCKET_NAME", "voices/team"),
        ("BUCKET_NAME", "https://voices"),
        ("BUCKET_PREFIX", "../other"),
        ("VOICE_CACHE_MAX_BYTES", "2 GB"),
        ("VOICE_CACHE_MAX_BYTES", "-1"),
        ("SYNC_ON_START", "yes"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(StorageUnavailable, match=variable):
        BucketSettings.from_environment({**WHOLE, variable: value})


def test_the_key_is_never_shown() -> None:
    settings = BucketSettings.from_environment(WHOLE)
    assert "very-secret" not in repr(settings)
    assert "AKIAEXAMPLE" not in repr(settings)
    assert "very-secret" not in f"{settings}"


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("https://s3.dualstack.ap-southeast-2.amazonaws.com", "ap-southeast-2"),
        ("https://0123.r2.cloudflarestorage.com", "auto"),
        ("https://s3api-eu-ro-1.runpod.io", "EU-RO-1"),
        ("http://127.0.0.1:9000", "us-east-1"),
    ],
)
def test_the_region_is_read_from_the_endpoint(endpoint: str, region: str) -> None:
    settings = BucketSettings.from_environment({**WHOLE, "BUCKET_ENDPOINT_URL": endpoint})
    assert settings is not None
    assert settings.region_name == region
