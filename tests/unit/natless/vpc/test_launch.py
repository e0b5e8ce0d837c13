import os
from pathlib import Path

from natless.vpc.launch import name_lookup_covers, python_environment, python_program

ROOT = str(Path(__file__).resolve().parents[4])


def test_programs_look_names_up_at_the_resolver_only(tmp_path):
    covers = name_lookup_covers(tmp_path, resolver="10.0.0.2")
    assert Path(covers["/etc/resolv.conf"]).read_text() == "nameserver 10.0.0.2\n"
    if "/etc/nsswitch.conf" in covers:
        assert Path(covers["/etc/nsswitch.conf"]).read_text() == "hosts: files dns\n"
    assert "localhost" in (tmp_path / "hosts").read_text()


def test_only_what_is_there_is_covered(tmp_path):
    covers = name_lookup_covers(tmp_path, resolver="10.0.0.2")
    assert all(Path(target).exists() for target in covers)
    assert all(Path(source).is_relative_to(tmp_path) for source in covers.values())


def test_our_packages_come_first_on_the_path_of_our_processes():
    assert python_environment({})["PYTHONPATH"] == ROOT
    assert python_environment({"PYTHONPATH": "/x"})["PYTHONPATH"] == f"{ROOT}{os.pathsep}/x"


def test_our_processes_do_not_look_into_the_working_directory():
    assert python_program("natless.vpc.resolver", "--udp", "3")[1:] == (
        "-P",
        "-m",
        "natless.vpc.resolver",
        "--udp",
        "3",
    )
