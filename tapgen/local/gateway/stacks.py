"""What an environment's stacks in the embedded AWS say of themselves: values, keys, secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tapgen import yaml_text
from tapgen.cloud import DeployedStack
from tapgen.description import Description
from tapgen.local.gateway import errors
from tapgen.local.gateway.reading import Live
from tapgen.local.lease import Embedded
from tapgen.session import Session


class Stacks:
    """What the stacks of an environment say of themselves."""

    def __init__(
        self, session: Session, description: Description, env: str, embedded: Embedded
    ) -> None:
        self.api = self._stack(session, description.stack_name("api", env))
        self.document = yaml_text.load(session.cloud.template(self.api.id))
        self.exports = {
            name: value
            for stack in session.cloud.stacks("tap-")
            for name, value in stack.exports.items()
        }
        self.live = Live(
            account=embedded.account,
            region=embedded.region,
            parameters=self.api.parameters,
            ids={
                item.logical_id: item.physical_id for item in session.cloud.resources(self.api.id)
            },
            exports=self.exports,
        )
        self.migration = self.api.outputs["MigrationFunctionName"]
        self._env, self._services = env, session.services

    def key_values(self) -> dict[str, str]:
        """Values of the API's keys by id."""
        found = self._services.call(
            "apigateway", "get_api_key", apiKey=self.api.outputs["ApiKeyId"], includeValue=True
        )
        return {found["id"]: found["value"]}

    def secret(self, export: str) -> Mapping[str, str]:
        """User and password of the secret whose ARN is exported."""
        arn = self.exports[f"tap-{self._env}-{export}"]
        answer = self._services.call("secretsmanager", "get_secret_value", SecretId=arn)
        found: dict[str, str] = json.loads(answer["SecretString"])
        return found

    def _stack(self, session: Session, name: str) -> DeployedStack:
        found = session.cloud.stack(name)
        if found is None:
            raise errors.NotDeployed(name, name)
        return found
