from tests.molecule import running

pytestmark = running.marks


@running.each_scenario
def test_redis(scenario: str) -> None:
    running.succeed("redis", scenario)
