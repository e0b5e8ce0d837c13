import os
from pathlib import Path

from natless.vpc.launch import as_os_error, python_environment, python_program

ROOT = str(Path(__file__).resolve().parents[4])


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


def test_only_a_start_that_failed_is_no_fault_of_the_lab():
    error = as_os_error("the lab could not run: could not execute /a: b/c: Permission denied")
    assert isinstance(error, PermissionError)
    assert (error.filename, error.strerror) == ("/a: b/c", "Permission denied")
    assert as_os_error("the lab could not run: could not prepare: Permission denied") is None
    assert as_os_error("the lab broke: No such file or directory") is None
