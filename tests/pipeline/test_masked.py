"""Credentials are masked in whatever is printed or written; words that look like them are not."""

import io
import json

import pytest

from pipeline.masked import MaskingStream, has_password, keep_secret, masked, masked_content

CANARY = "kanari-9f2c7e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://user:{CANARY}@host:8000/v1 does not answer", "http://user:***@host:8000/v1 does not answer"),
        (f"https://host/v1?api_key={CANARY}&x=1", "https://host/v1?api_key=***&x=1"),
        (f"s3://bucket/a?X-Amz-Signature={CANARY}", "s3://bucket/a?X-Amz-Signature=***"),
        (f"Authorization: Bearer {CANARY}", "Authorization: Bearer ***"),
        ("abfss://container@account.dfs.core.windows.net/images", "abfss://container@account.dfs.core.windows.net/images"),
        ("http://host:8000/v1: a token is a word; max_tokens=512", "http://host:8000/v1: a token is a word; max_tokens=512"),
    ],
)
def test_credentials_in_texts(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_what_a_configuration_names_as_secret_is_masked_wherever_it_comes_up() -> None:
    keep_secret({"engine_args": {"hf_token": "kanari-of-the-hub", "max_num_batched_tokens": 512}})
    assert masked("401 for kanari-of-the-hub") == "401 for ***"
    assert masked_content({"engine_args": {"hf_token": "kanari-of-the-hub", "tokenizer": "org/name", "max_tokens": 8}}) == {
        "engine_args": {"hf_token": "***", "tokenizer": "org/name", "max_tokens": 8}
    }


def test_keys_of_the_environment_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "kanari-of-s3")
    monkeypatch.setenv("FGDATA_TOKENIZER", "kanari-no-secret")
    assert masked("signed with kanari-of-s3") == "signed with ***"
    assert masked("kanari-no-secret") == "kanari-no-secret"


def test_a_stream_masks_and_is_else_itself() -> None:
    below = io.StringIO()
    stream = MaskingStream(below)
    print(json.dumps({"url": f"http://u:{CANARY}@h"}), file=stream)  # type: ignore[call-overload]
    assert below.getvalue() == '{"url": "http://u:***@h"}\n'
    assert not stream.isatty()


@pytest.mark.parametrize(("url", "is_so"), [("s3://a:b@c", True), ("s3://a/b:c@d", False), ("abfss://a@b", False), ("/data/a:b@c", False)])
def test_urls_with_passwords(url: str, is_so: bool) -> None:
    assert has_password(url) is is_so
