from tests.molecule import running

pytestmark = running.marks


@running.each_scenario
def test_duckdb(scenario: str) -> None:
    running.succeed("duckdb", scenario)
