from tests.molecule import running

pytestmark = running.marks


@running.each_scenario
def test_redis_benchmark(scenario: str) -> None:
    running.succeed("redis_benchmark", scenario)
