import pytest

from natless.vpc import name_lookup


@pytest.fixture
def binds(monkeypatch):
    """What was covered, with the content of the cover at that moment."""
    made = {}

    def bind(source, target):
        path = name_lookup.Path(source)
        made[target] = path.read_text() if path.is_file() else sorted(path.iterdir())

    monkeypatch.setattr(name_lookup.kernel, "bind", bind)
    return made


def test_programs_ask_the_resolver_of_the_lab_only(binds, tmp_path):
    name_lookup.cover_name_lookup(resolver="10.0.0.2", directory=tmp_path)
    assert binds["/etc/resolv.conf"] == "nameserver 10.0.0.2\n"
    assert binds.get("/etc/nsswitch.conf", "hosts: files dns\n") == "hosts: files dns\n"
    assert all(name_lookup.Path(target).exists() for target in binds)


def test_the_covering_files_are_gone_at_once(binds, tmp_path):
    name_lookup.cover_name_lookup(resolver="10.0.0.2", directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nscd_is_covered_with_nothing(binds, tmp_path, monkeypatch):
    there = tmp_path / "nscd"
    there.mkdir()
    monkeypatch.setattr(name_lookup, "_NSCD", (str(there), str(tmp_path / "not there")))
    name_lookup.cover_name_lookup(resolver="10.0.0.2", directory=tmp_path)
    assert binds[str(there)] == []
    assert str(tmp_path / "not there") not in binds


def test_this_machine_stays_itself_by_name():
    files = name_lookup.render_files("10.0.0.2")
    assert "127.0.0.1 localhost" in files["/etc/hosts"]
