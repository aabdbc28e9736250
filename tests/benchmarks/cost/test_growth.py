from tests.benchmarks.cost import growth, table


def test_every_case_runs_and_has_its_row():
    record = growth.measured(rounds=1, scale=0.05)
    text = table.growth(record)
    assert all(name in text for name in growth.CASES)
    assert len(text.splitlines()) == 2 + len(growth.CASES)
