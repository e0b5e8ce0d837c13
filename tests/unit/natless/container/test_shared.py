import pytest

from natless.container.shared import Identity, SharedFolder
from natless.errors import ComponentFailed

IDENTITY = Identity(label="a" * 26, region="eu-west-1", api_key="da2-secret")


def test_an_identity_is_read_as_it_was_written(tmp_path):
    shared = SharedFolder(tmp_path)
    shared.write_identity(IDENTITY)
    assert shared.wait_identity(budget=0) == IDENTITY


def test_who_waits_in_vain_is_told_where_to_look(tmp_path):
    with pytest.raises(ComponentFailed, match=r"lab\.json did not come up") as raised:
        SharedFolder(tmp_path).wait_identity(budget=0)
    assert "docker compose logs control" in raised.value.hint


def test_the_key_is_not_in_what_is_printed():
    assert "secret" not in repr(IDENTITY)


def test_files_may_lie_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("NATLESS_KEY", "/elsewhere/key.pem")
    shared = SharedFolder(tmp_path)
    assert str(shared.key) == "/elsewhere/key.pem"
    assert shared.certificate == tmp_path / "server.pem"


def test_a_part_of_another_user_can_say_that_the_worker_is_there(tmp_path):
    shared = SharedFolder(tmp_path / "natless")
    shared.make()
    assert not shared.has_worker()
    assert shared.worker_mark.parent.stat().st_mode & 0o7777 == 0o1777
    shared.mark_worker()
    assert shared.has_worker()
