"""`natless relay` refuses a flag itself that its process would refuse in its own words."""

from typer.testing import CliRunner

from natless.cli.__main__ import app


def test_an_unknown_check_of_signatures_is_told_with_those_there_are():
    result = CliRunner().invoke(app, ["relay", "--verify", "none"], env={"NO_COLOR": "1"})
    assert result.exit_code == 2
    assert "python -m relay" not in result.output
    for word in ("strict", "parse-only", "off"):
        assert word in result.output
