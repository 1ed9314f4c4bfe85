"""Asked with patience: what is busy or slow is asked again after a while, in words; what refuses is explained."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from hub.box import MEMBER, NARROW, STRANGER, Fault, Repository
from secura_bench.hub import asking, cache, listing
from secura_bench.hub.asking import retry_after
from secura_bench.hub.errors import HubAwayError, HubError
from secura_bench.hub.fetching import fetch
from secura_bench.hub.listing import Entry, files_of, resolve
from secura_bench.hub.voice import hushed

COMMIT, TODAY = "a" * 40, "b" * 40
MODEL = cache.Repository("model", "some/model")
FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


def served(**about) -> list[Repository]:
    return [Repository("model", "some/model", COMMIT, FILES, **about)]


@pytest.mark.parametrize(
    ("fault", "waits", "said"),
    [
        (Fault("/revision/", 1, status=503), [1], "answers 503 Service Unavailable; trying again in 1 s (2 of 5)"),
        (Fault("/revision/", 4, status=502), [1, 2, 4, 8], "answers 502 Bad Gateway; trying again in 8 s (5 of 5)"),
        (Fault("/revision/", 1, status=429, headers={"Retry-After": "7"}), [7], "answers 429 Too Many Requests"),
        (Fault("/revision/", 1, status=429, headers={"RateLimit": '"api";r=0;t=9'}), [9], "trying again in 9 s"),
        (Fault("/revision/", 1, delay=0.6), [1], "does not answer within 0.3 s; trying again"),
        (Fault("/revision/", 1, cut=3), [1], "hung up"),
    ],
)
def test_the_hub_is_asked_again(fault: Fault, waits: list, said: str, serve, monkeypatch, capsys) -> None:
    slept: list[float] = []
    monkeypatch.setattr(asking, "sleep", slept.append)
    monkeypatch.setattr(asking, "TIMEOUT", 0.3)
    serve(served()).faults = [fault]
    assert resolve(MODEL) == COMMIT
    assert slept == waits
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(waits)
    assert said in lines[-1]


@pytest.mark.parametrize(
    ("fault", "asked", "said"),
    [
        (Fault("/revision/", status=503), 5, "answers 503 Service Unavailable, 5 times in a row."),
        (Fault("/revision/", status=429, headers={"Retry-After": "3600"}), 1, "asks to wait for 1:00 h; try again"),
    ],
)
def test_patience_ends(fault: Fault, asked: int, said: str, serve) -> None:
    box = serve(served())
    box.faults = [fault]
    with pytest.raises(HubAwayError, match=said), hushed():
        resolve(MODEL)
    assert len(box.log) == asked
    with pytest.raises(HubAwayError), hushed():  # whoever was away is not waited for again
        resolve(MODEL, "v1")
    assert len(box.log) == asked + 1


def test_a_hub_that_is_not_there_is_not_waited_for(serve, monkeypatch, capsys) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(asking, "sleep", lambda seconds: pytest.fail("waits"))
    with pytest.raises(HubAwayError, match=r"http://127.0.0.1:9 does not answer: .*refused"):
        resolve(MODEL)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {}, None),
        (503, {"Retry-After": "0"}, 0),
        (503, {"Retry-After": "soon"}, None),
        (429, {"RateLimit": '"api";r=12;t=60'}, None),  # there are requests left: another reason
        (503, {"RateLimit": '"api";r=0;t=60'}, None),
    ],
)
def test_how_long_the_hub_asks_to_wait(status: int, headers: dict, seconds: float | None) -> None:
    assert retry_after(status, headers) == seconds


def test_a_date_to_wait_for() -> None:
    when = datetime.now(timezone.utc) + timedelta(seconds=30)
    assert 25 < retry_after(503, {"Retry-After": format_datetime(when, usegmt=True)}) <= 30


@pytest.mark.parametrize(
    ("token", "repository", "revision", "path", "said"),
    [
        (
            None,
            "gated/model",
            COMMIT,
            "config.json",
            "gated, and no token was found. Accept its licence at huggingface",
        ),
        (STRANGER, "gated/model", COMMIT, "config.json", "the token's account has not been given access"),
        (NARROW, "gated/model", COMMIT, "config.json", "no access to gated repositories .*fine-grained"),
        ("hf_wrong", "gated/model", COMMIT, "config.json", "the token is not valid .*mistyped, has expired"),
        ("hf_wrong", "some/model", COMMIT, None, "the token is not valid"),
        (None, "some/private", None, None, "no such model .* private and no token was found"),
        (STRANGER, "some/private", None, None, "private and the token's account may not see it"),
        (MEMBER, "no/where", COMMIT, None, "no such model on the Hub"),
        (MEMBER, "some/model", "v9", None, "no revision 'v9' .*huggingface.co/some/model/commits"),
        (MEMBER, "some/model", "d" * 40, None, f"no revision '{'d' * 40}'"),
        (MEMBER, "some/model", COMMIT, "gone.json", f"no file 'gone.json' at {COMMIT}; .*/tree/"),
    ],
)
def test_refusals_name_the_cause(token, repository, revision, path, said, serve, monkeypatch) -> None:
    serve(
        [
            *served(),
            Repository("model", "gated/model", COMMIT, FILES, gated=True),
            Repository("model", "some/private", COMMIT, FILES, private=True),
        ]
    )
    monkeypatch.setattr(asking, "sleep", lambda seconds: pytest.fail("waits for what will not change"))
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    asked = cache.Repository("model", repository)
    with pytest.raises(HubError, match=said) as refusal:
        commit = resolve(asked, revision)
        files_of(asked, commit)
        fetch(asked, commit, [Entry(str(path), 2, "e" * 40)])
    assert not isinstance(refusal.value, HubAwayError)
    assert "\n" not in str(refusal.value)


def test_a_repository_of_another_name_is_followed(serve) -> None:
    serve([*served(), Repository("model", "old/name", COMMIT, {}, moved="some/model")])
    old = cache.Repository("model", "old/name")
    folder = fetch(old, resolve(old), files_of(old, COMMIT).entries)
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_a_branch_is_where_it_was_last_seen(serve, monkeypatch, capsys) -> None:
    box = serve(served())
    assert resolve(MODEL, "main") == COMMIT
    assert resolve(MODEL, "main") == COMMIT
    assert len(box.log) == 1  # a command asks once
    monkeypatch.setattr(listing, "_RESOLVED", {})
    box.faults = [Fault("/revision/", status=503)]
    assert resolve(MODEL, "main") == COMMIT
    assert "model some/model is taken from the cache, as 'main' was last seen: aaaaaaaaaa." in capsys.readouterr().err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert resolve(MODEL, "main") == COMMIT
    assert resolve(MODEL, TODAY) == TODAY  # a commit stands for itself
    with pytest.raises(HubAwayError, match="HF_HUB_OFFLINE is set, and it is not in the cache"):
        resolve(MODEL, "v1")


@pytest.mark.parametrize("path", ["../out.json", "/etc/x", "a/../../b", "a\\b", "a\x1b[2J"])
def test_a_listing_leads_nowhere_else(path: str, serve) -> None:
    serve([Repository("model", "some/model", COMMIT, {path: b"{}"})])
    with pytest.raises(HubError, match="lists a file that cannot be one"):
        files_of(MODEL, COMMIT)
