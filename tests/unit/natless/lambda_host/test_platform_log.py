from natless.lambda_host import platform_log


def test_start_and_end_name_the_request():
    assert platform_log.start_line("r-1") == "START RequestId: r-1 Version: $LATEST"
    assert platform_log.end_line("r-1") == "END RequestId: r-1"


def test_a_timeout_is_logged_with_its_moment_as_lambda_does():
    line = platform_log.timeout_line("r-1", wall=1_542_409_706.888, timeout=6.02)
    assert line == "2018-11-16T23:08:26.888Z r-1 Task timed out after 6.02 seconds"


def test_a_failed_init_is_reported_by_phase_and_status():
    assert (
        platform_log.init_report_line(10.00914, phase="init", status="timeout")
        == "INIT_REPORT Init Duration: 10009.14 ms\tPhase: init\tStatus: timeout"
    )
    assert platform_log.init_report_line(
        0.15, phase="invoke", status="error", error_type="Runtime.ExitError"
    ).endswith("\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError")


def test_a_report_rounds_the_billed_duration_up_and_counts_the_init():
    line = platform_log.report_line(
        "r-1", duration=0.0123, memory=128, peak_bytes=40 * 2**20 + 1, init_duration=0.1
    )
    assert line.split("\t") == [
        "REPORT RequestId: r-1",
        "Duration: 12.30 ms",
        "Billed Duration: 113 ms",
        "Memory Size: 128 MB",
        "Max Memory Used: 41 MB",
        "Init Duration: 100.00 ms",
    ]


def test_a_report_says_nothing_about_memory_that_nobody_knows():
    line = platform_log.report_line(
        "r-1",
        duration=3.0,
        memory=128,
        peak_bytes=None,
        status="error",
        error_type="Runtime.ExitError",
    )
    assert "Max Memory" not in line
    assert line.endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_an_extension_is_told_of_as_lambda_does():
    line = platform_log.extension_line("agent", state="Ready", events=["INVOKE", "SHUTDOWN"])
    assert line == "EXTENSION\tName: agent\tState: Ready\tEvents: [INVOKE, SHUTDOWN]"
    line = platform_log.extension_line("a", state="InitError", events=[], error_type="Mine")
    assert line == "EXTENSION\tName: a\tState: InitError\tEvents: []\tError Type: Mine"
