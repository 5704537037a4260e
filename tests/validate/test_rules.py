"""Each rule finds what it is for, word for word, and nothing in a template that keeps it."""

from __future__ import annotations

from collections import Counter

import pytest
from judged import Case, cases, faults

from tapgen import validate

# Too large to be written down.
LARGE = [
    Case(
        "TAP805",
        good={"Resources": {}, "Description": "x" * 51_000},
        bad={"Resources": {}, "Description": "x" * 51_200},
        found=(": has 51236 bytes, 51200 can be sent directly",),
    ),
    Case(
        "TAP806",
        good={"Resources": {}, "Outputs": {f"Out{n}": {"Value": "x"} for n in range(200)}},
        bad={"Resources": {}, "Outputs": {f"Out{n}": {"Value": "x"} for n in range(201)}},
        found=("Outputs: has 201 entries, 200 are allowed",),
    ),
]
CASES = [*cases(), *LARGE]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_template_that_breaks_the_rule_is_told_what_is_wrong(case: Case) -> None:
    assert faults(case.rule, case.bad) == sorted(case.found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_template_that_keeps_the_rule_is_not_mentioned(case: Case) -> None:
    assert faults(case.rule, case.good) == []


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    assert {case.rule for case in CASES} == {rule.id for rule in validate.RULES}
    assert all(case.found for case in CASES)


def test_every_rule_has_an_id_of_its_own_a_reason_and_a_remedy() -> None:
    ids = Counter(rule.id for rule in validate.RULES)

    assert [name for name, count in ids.items() if count > 1] == []
    assert [rule.id for rule in validate.RULES if not (rule.check.__doc__ and rule.remedy)] == []
