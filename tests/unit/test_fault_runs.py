"""What is noted of a soak run of the fault tests: which tests failed, and that it ended at all."""

from pathlib import Path

from tests.soak.kinds import failed_tests


def test_failed_tests_are_named_and_a_run_without_a_report_failed(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert failed_tests(report) == ["no-report"]
    report.write_text(
        '<testsuites><testsuite><testcase name="a[kill 9]"><failure/></testcase>'
        '<testcase name="b"/></testsuite></testsuites>'
    )
    assert failed_tests(report) == ["a[kill-9]"]
