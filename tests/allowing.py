"""A scene whose runs may do more than an ordinary one, and somebody else's update in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from twin.scene import ENV, Scene, tier, wanted

from tapgen.cloud import DeployedStack
from tapgen.engine.run import Run

NETWORK = "tap-dev-network"
GIVEN = [{"ParameterKey": "EnvironmentSuffix", "ParameterValue": ENV}]


@dataclass
class Allowing(Scene):
    """A scene whose runs may do more than an ordinary one: fields of ``Run``."""

    allowed: dict[str, Any] = field(default_factory=dict)

    def run(self, recreate: Iterable[str] = ()) -> Run:
        """The next run."""
        return replace(super().run(recreate), **self.allowed)

    def allowing(self, **allowed: Any) -> Allowing:
        """From now on its runs may do so."""
        self.allowed = allowed
        return self

    def standing(self, name: str = NETWORK) -> DeployedStack:
        """A stack that is there."""
        found = self.cloud.stack(name)
        assert found is not None
        return found

    def since(self, before: int) -> list[str]:
        """The mutating calls after the first ``before``."""
        return [call.operation for call in self.region.mutations[before:]]


def update(scene: Scene, note: str, *, stays: bool = False, token: str = "theirs") -> None:
    """Somebody's update of the network; ``stays`` where it fails."""
    scene.twin.client("cloudformation").update_stack(
        StackName=NETWORK,
        TemplateBody=wanted([tier("network", topics=2, note=note)])[0].request.template,
        Parameters=GIVEN,
        Tags=[{"Key": "ManagedBy", "Value": "tapgen"}],
        DisableRollback=stays,
        ClientRequestToken=token,
    )
