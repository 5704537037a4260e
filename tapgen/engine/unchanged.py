"""Whether stacks that look unchanged are: CloudFormation's own answer, beside the digest's.

A digest among the outputs says which template a stack runs. Whoever edits a template by hand and
leaves the digest in it is found here: the template is read back and its digest made anew, and a
change set is made, for which CloudFormation should find nothing to do. Drift is another question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tapgen import yaml_text
from tapgen.cloud import CloudFormation, DeployedStack
from tapgen.digest import digest_of, sealed
from tapgen.engine.exact import Answer, Asker
from tapgen.engine.plan import Wanted


def doubts(
    cloud: CloudFormation,
    ask: Asker,
    kept: Sequence[Wanted],
    deployed: Mapping[str, DeployedStack | None],
) -> dict[str, str]:
    """What speaks against each of the ``kept`` stacks being as wanted; a stack without is.

    ``ask`` should be strict: what cannot be asked is not verified. Raises ``CloudError``.
    """
    standing = [(item, there) for item in kept if (there := deployed.get(item.name)) is not None]
    answers = ask(standing)
    with ThreadPoolExecutor(max_workers=8) as pool:
        texts = list(pool.map(lambda pair: cloud.template(pair[1].id), standing))
    found = {}
    for (item, _), text in zip(standing, texts, strict=True):
        against = [*_of_template(item, text), *_of_answer(answers[item.name])]
        if against:
            found[item.name] = "; ".join(against)
    return found


def _of_template(item: Wanted, text: str) -> list[str]:
    document = yaml_text.load(text)
    if digest_of(sealed(document)) == digest_of(item.document):
        return []
    return ["its template was changed, though its digest was not"]


def _of_answer(answer: Answer) -> list[str]:
    if answer.same:
        return []
    if answer.changes is None:
        return [answer.note]
    ids = ", ".join(sorted(change.logical_id for change in answer.changes))
    return [f"CloudFormation would change {ids or 'its outputs, conditions or tags'}"]
