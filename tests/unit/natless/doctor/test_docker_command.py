"""What Docker's command says, and the next step that follows from it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from natless.doctor import docker_command
from natless.doctor.docker_command import (
    check_build,
    check_compose,
    check_engine,
    check_network,
)
from natless.doctor.finding import State
from natless.vpc.docker_owner import Owner


class Docker:
    """A docker command that answers by what its arguments begin with."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str, int]] = []
        self.error: Exception | None = None
        self.asked: list[str] = []

    def says(self, said: str, *, to: str = "", code: int = 0) -> None:
        self.answers.insert(0, (to, said, code))

    def run(self, argv: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if self.error is not None:
            raise self.error
        asked = " ".join(argv[1:])
        self.asked.append(asked)
        said, code = next(
            ((said, code) for to, said, code in self.answers if asked.startswith(to)), ("", 0)
        )
        return subprocess.CompletedProcess(argv, code, said, said)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    docker = Docker()
    monkeypatch.delenv("NATLESS_IMAGE", raising=False)
    monkeypatch.setattr(subprocess, "run", docker.run)
    return docker


def test_a_new_engine_is_fine(docker: Docker) -> None:
    docker.says('{"Version": "26.1.5+dfsg1", "ApiVersion": "1.45"}')
    seen = check_engine()
    assert (seen.state, seen.said) == (State.OK, "Docker Engine 26.1.5+dfsg1 (API 1.45)")


@pytest.mark.parametrize(("api", "state"), [("1.41", State.OK), ("1.40", State.LACKS)])
def test_the_oldest_engine_is_20_10(docker: Docker, api: str, state: State) -> None:
    docker.says(f'{{"Version": "x", "ApiVersion": "{api}"}}')
    assert check_engine().state is state


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("permission denied while trying to connect to the socket", "usermod"),
        ("Cannot connect to the Docker daemon at unix:///x.", "systemctl start docker"),
        ("error during connect: no such host", "DOCKER_HOST"),
        ("something else", "docker version"),
        ("", "docker version"),
    ],
)
def test_an_engine_that_says_no_is_told_with_the_fix(docker: Docker, said: str, words: str) -> None:
    docker.says(said, code=1)
    seen = check_engine()
    assert seen.state is State.LACKS
    assert words in seen.fix
    assert said.rstrip(".") in seen.said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(), "no docker command"),
        (subprocess.TimeoutExpired("docker", 20), "said nothing in 20 s"),
    ],
)
def test_a_command_that_is_not_there_or_hangs_is_a_finding(
    docker: Docker, error: Exception, words: str
) -> None:
    docker.error = error
    for seen in (check_engine(), check_compose()):
        assert seen.state is State.LACKS
        assert words in seen.said
        assert seen.fix
    assert check_network().state is State.SKIPPED
    assert check_build().state is State.SKIPPED


@pytest.mark.parametrize("said", ["null", "not JSON", "{}"])
def test_an_answer_without_a_version_is_no_engine(docker: Docker, said: str) -> None:
    docker.says(said)
    assert check_engine().state is State.LACKS


@pytest.mark.parametrize(
    ("number", "state"),
    [
        ("2.26.1-4", State.OK),
        ("v2.20.0", State.OK),
        ("5.0.1", State.OK),
        ("2.19.1", State.LACKS),
        ("1.29.2", State.LACKS),
    ],
)
def test_compose_must_know_include(docker: Docker, number: str, state: State) -> None:
    docker.says(f"{number}\n", to="compose version")
    seen = check_compose()
    assert seen.state is state
    assert ("docker-compose-plugin" in seen.fix) is (state is State.LACKS)


def test_a_docker_without_compose_is_told_how_to_get_it(docker: Docker) -> None:
    docker.says("docker: 'compose' is not a docker command.", to="compose", code=1)
    seen = check_compose()
    assert seen.state is State.LACKS
    assert "docker-compose-plugin" in seen.fix


def test_a_compose_that_does_not_take_our_file_is_found(docker: Docker) -> None:
    docker.says("2.26.1\n", to="compose version")
    docker.says("'include' is unknown", to="compose -f", code=15)
    seen = check_compose()
    assert seen.state is State.LACKS
    assert "'include' is unknown" in seen.said


def made(*, project: str = "", owner: str = "", subnet: str = "172.20.0.0/16") -> str:
    labels = {"com.docker.compose.project": project, "natless.owner": owner}
    document = {"Name": "theirs", "IPAM": {"Config": [{"Subnet": subnet}]}}
    return json.dumps([document | {"Labels": {k: v for k, v in labels.items() if v}}])


def test_a_network_is_made_with_the_labels_of_a_lab_and_removed(docker: Docker) -> None:
    docker.says(made(), to="network inspect")
    seen = check_network()
    assert seen.state is State.OK
    assert "172.20.0.0/16" in seen.said
    create = next(asked for asked in docker.asked if asked.startswith("network create"))
    name = create.split()[-1]
    assert "--internal" in create
    assert f"natless.lab={name}" in create
    assert f"natless.owner={Owner.here()}" in create
    assert f"network rm {name}" in docker.asked


def test_a_network_is_removed_also_when_something_goes_wrong(docker: Docker) -> None:
    docker.says("no JSON", to="network inspect")
    assert check_network().state is State.LACKS
    assert any(asked.startswith("network rm") for asked in docker.asked)


def test_an_engine_without_free_ranges_is_told_what_to_do(docker: Docker) -> None:
    said = "could not find an available, non-overlapping IPv4 address pool"
    docker.says(said, to="network create", code=1)
    assert check_network().fix == "docker network prune"


DEAD = Owner("another boot", "pid:[1]", 1, 1)


@pytest.mark.parametrize(
    ("holder", "state", "fix"),
    [
        ({"project": "natless"}, State.OK, ""),
        ({"project": "shop"}, State.LACKS, "docker compose -p shop down"),
        ({}, State.LACKS, "docker network rm theirs"),
        ({"owner": str(DEAD)}, State.LACKS, "natless doctor --sweep"),
        ({"owner": str(Owner.here())}, State.LACKS, "Wait"),
    ],
)
def test_who_has_a_range_of_the_lab_is_named_with_the_way_to_get_it(
    docker: Docker, holder: dict[str, str], state: State, fix: str
) -> None:
    docker.says(made(subnet="10.0.1.0/24", **holder), to="network inspect")
    seen = check_network()
    assert seen.state is state
    assert fix in seen.fix
    assert (state is State.OK) or "theirs" in seen.said


def test_the_files_of_an_installed_natless_are_elsewhere(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.says("2.26.1\n", to="compose version")
    monkeypatch.setattr(docker_command, "_ROOT", docker_command._ROOT / "nowhere")
    seen = check_compose()
    assert seen.state is State.OK
    assert "clone" in seen.said


@pytest.mark.parametrize(("code", "words"), [(0, "is here"), (1, "will be pulled once")])
def test_an_image_is_built_and_removed_and_the_base_image_looked_for(
    docker: Docker, code: int, words: str
) -> None:
    docker.says("", to="image inspect", code=code)
    seen = check_build()
    assert seen.state is State.OK
    assert words in seen.said
    build = next(asked for asked in docker.asked if asked.startswith("build"))
    assert f"image rm {build.split()[3]}" in docker.asked


def test_an_image_that_is_named_must_be_there(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATLESS_IMAGE", "registry.example/natless:1")
    assert check_build().state is State.OK
    docker.says("No such image", to="image inspect", code=1)
    seen = check_build()
    assert (seen.state, seen.fix) == (State.LACKS, "docker pull registry.example/natless:1")


def test_without_sources_there_is_nothing_to_build(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_command, "_ROOT", docker_command._ROOT / "nowhere")
    seen = check_build()
    assert seen.state is State.LACKS
    assert "git clone" in seen.fix
    assert not any(asked.startswith("build") for asked in docker.asked)


def test_a_docker_without_buildkit_is_told_how_to_get_it(docker: Docker) -> None:
    said = "ERROR: BuildKit is enabled but the buildx component is missing or broken."
    docker.says(said, to="build", code=1)
    seen = check_build()
    assert seen.state is State.LACKS
    assert "docker-buildx-plugin" in seen.fix
