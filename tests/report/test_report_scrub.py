"""Personal data is removed from a text; what explains a failure stays."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paretodet.report.scrub import own_scrubber, scrubbed, scrubber

ENVIRONMENT = {"HF_TOKEN": "hf_abc", "MY_PROJECT": "the-secret-project", "OMP_NUM_THREADS": "12345678", "SHLVL": "1"}
SCRUB = scrubber(environment=ENVIRONMENT, hosts=["carol-laptop.lan"], users=["carol"])
PERSONAL = ("carol", "hf_abc", "secret", "laptop", "/home", "Users", "Clients", "10.1.2.3", "example.org", "acme")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /home/carol/x.onnx: No such file", "cannot read <path> No such file"),
        ("'/home/carol/My Clients/acme.onnx' is no model", "'<path>' is no model"),
        ("/home/carol/My Clients/x.onnx is no model", "<path> is no model"),
        ("/srv/acme/Big Clients.onnx is no model", "<path> is no model"),
        ('File "/home/carol/a.py", line 3, in make', 'File "<path>", line 3, in make'),
        (r"C:\Users\Carol\x.pt is missing", "<path> is missing"),
        ("C:\\\\Users\\\\Carol\\\\x.pt is missing", "<path> is missing"),
        (r"\\server\Clients\x.pt is missing", "<path> is missing"),
        ("~/Clients/x.pt and ~carol/y.pt", "<path> and <path>"),
        ("opened (/home/carol/x", "opened (<path>"),
        ("--weights=/home/carol/x.pt", "--weights=<path>"),
        ("file:///home/carol/x and https://carol:pw@example.org/a?b", "<url> and <url>"),
        ("mail carol.b@example.org now", "mail <mail> now"),
        ("the process of Carol on carol-laptop", "the process of <user> on <host>"),
        ("connect to 10.1.2.3 failed", "connect to <address> failed"),
        ("MY_PROJECT=x was set", "MY_PROJECT=<hidden> was set"),
        ("login hf_abc of the-secret-project", "login <hidden> of <hidden>"),
    ],
)
def test_personal_data_is_removed(text: str, left: str) -> None:
    assert SCRUB(text) == left
    assert not [word for word in PERSONAL if word.lower() in SCRUB(text).lower()]


@pytest.mark.parametrize(
    "text",
    [
        "12 images/s at 3.5 ms/image, new / old is 1.02",
        "ssd-mobilenet_v1-300",
        "hf:d_fine-n",
        "guest:make",
        "n/a",
        "2026-01-02T03:04:05+00:00",
        "12345678",
        "carolina",
        "AMD EPYC 7R32 @ 2.8 GHz",
        "2.11.0+cpu",
        "90 % of the time was contended: other processes used 38 % of a core",
    ],
)
def test_what_explains_a_failure_stays(text: str) -> None:
    assert SCRUB(text) == text


def test_keys_and_nested_texts_are_scrubbed_and_numbers_stay() -> None:
    value: dict[str, Any] = {"/home/carol/x": [1, 2.5, None, True, ("carol",)], "b": {"c": "on carol-laptop.lan"}}
    assert scrubbed(value, SCRUB) == {"<path>": [1, 2.5, None, True, ["<user>"]], "b": {"c": "on <host>"}}


PARTS = ["/home/carol", "/", " ", "a b", ".onnx", "'", "\\", "x:", "~", "carol", ":", "\n"]


@given(st.lists(st.sampled_from(PARTS)))
@example(["a b", "/", "/home/carol"])
def test_paths_are_removed_in_any_order_of_words(parts: list[str]) -> None:
    """Behind a letter it is the rest of a path that begins nowhere."""
    assert not re.search(r"(?<![\w.<>])/home/carol", SCRUB("".join(parts * 20)))


def test_a_machine_without_a_user_has_a_scrubber(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("paretodet.report.scrub.getpass.getuser", nobody)
    assert own_scrubber()("see /a/b") == "see <path>"
