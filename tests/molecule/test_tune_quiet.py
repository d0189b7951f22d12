from tests.molecule import running

pytestmark = running.marks


@running.each_scenario
def test_tune_quiet(scenario: str) -> None:
    running.succeed("tune_quiet", scenario)
