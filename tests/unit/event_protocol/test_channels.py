from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.channels import Channel, ChannelPattern, is_segment
from event_protocol.errors import ChannelError

segments = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,48}[A-Za-z0-9])?", fullmatch=True)
paths = st.lists(segments, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))

# The expression that the AWS AppSync Events developer guide prints (event-api-websocket-protocol),
# as it stands there, is the referee.
PUBLISHED = re.compile(
    r"^/?[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?"
    r"(?:/[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?){0,4}/?\Z"
)


@pytest.mark.parametrize("text", ["default/x", "/default/x", "default/x/", "/default/x/"])
def test_slashes_at_the_ends_mean_nothing(text):
    assert Channel.parse(text) == Channel("/default/x")


@pytest.mark.parametrize("text", ["news", "/a/b/c/d/e", "0/9", "a-b", "A" * 50, "a--b", "x1-2y/Z"])
def test_these_are_channels(text):
    assert Channel.parse(text).path.strip("/") == text.strip("/")


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "//", "a//b", "//a", "a//", "/a/b/c/d/e/f", "-a", "a-", "a_b", "a.b", "a b", "é",
        "a\n", "\na", "a/\n", "*", "/*", "/a/*", "A" * 51, "a/" + "A" * 51, "a\x00", "\ud800",
        "\u0661",
    ],
)  # fmt: skip
def test_these_are_not_channels(text):
    with pytest.raises(ChannelError, match="a channel is"):
        Channel.parse(text)


@given(st.text(alphabet="aZ9-/_*é\n", max_size=12) | st.text(max_size=5) | paths)
def test_a_channel_is_what_the_published_expression_accepts(text):
    try:
        Channel.parse(text)
        accepted = True
    except ChannelError:
        accepted = False
    assert accepted is bool(PUBLISHED.match(text))


def test_a_channel_that_is_not_normalized_cannot_be_built():
    for path in ("a", "/a/", "a/b"):
        with pytest.raises(ChannelError):
            Channel(path)


@given(paths)
def test_a_channel_tells_its_segments_and_its_namespace(path):
    channel = Channel.parse(path)
    assert "/" + "/".join(channel.segments) == channel.path == path
    assert channel.namespace == channel.segments[0]


def test_channels_are_case_sensitive():
    assert Channel("/a") != Channel("/A")
    assert not ChannelPattern.parse("/a/*").matches(Channel("/A/b"))


@pytest.mark.parametrize(
    ("pattern", "channel", "matches"),
    [
        ("/a", "/a", True),
        ("a/", "/a", True),
        ("/a", "/a/b", False),
        ("/a/b", "/a", False),
        ("/a/*", "/a/b", True),
        ("/a/*", "/a/b/c", True),
        ("/a/*", "/a/b/c/d/e", True),
        ("/a/*", "/a", False),
        ("/a/*", "/ab/c", False),
        ("/a/*", "/b/a/c", False),
        ("/a/b/*", "/a/b/c", True),
        ("/a/b/*", "/a/bc/d", False),
        ("/a/b/c/d/*", "/a/b/c/d/e", True),
        ("a/*/", "/a/b", True),
    ],
)
def test_a_pattern_matches_at_any_depth_but_not_its_own_prefix(pattern, channel, matches):
    assert ChannelPattern.parse(pattern).matches(Channel.parse(channel)) is matches


@given(paths, paths)
def test_a_wildcard_matches_what_is_strictly_below_it(prefix, path):
    if prefix.count("/") == 5:
        return
    pattern = ChannelPattern.parse(prefix + "/*")
    prefix_segments = tuple(prefix[1:].split("/"))
    segments_ = Channel(path).segments
    below = segments_[: len(prefix_segments)] == prefix_segments
    assert pattern.matches(Channel(path)) is (below and len(segments_) > len(prefix_segments))
    if prefix.count("/") + path.count("/") <= 5:
        assert pattern.matches(Channel(prefix + path))
    assert not pattern.matches(Channel(prefix))


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "/*",
        "",
        "/",
        "/a/*/b",
        "/a*",
        "/a/b*",
        "/*/a",
        "/a/**",
        "a/*/*",
        "/a/b/c/d/e/*",
        "//*",
        "/a//*",
    ],
)
def test_these_are_not_patterns(text):
    with pytest.raises(ChannelError):
        ChannelPattern.parse(text)


@pytest.mark.parametrize(
    ("text", "path", "namespace", "is_wildcard"),
    [
        ("a/b", "/a/b", "a", False),
        ("a/b/*", "/a/b/*", "a", True),
        ("/a/*/", "/a/*", "a", True),
    ],
)
def test_a_pattern_tells_its_normalized_text(text, path, namespace, is_wildcard):
    pattern = ChannelPattern.parse(text)
    assert (pattern.path, pattern.namespace, pattern.is_wildcard) == (path, namespace, is_wildcard)


def test_the_name_of_a_namespace_is_a_segment():
    assert is_segment("sst")
    assert not is_segment("s/t")
    assert not is_segment("")
    assert not is_segment("sst\n")
