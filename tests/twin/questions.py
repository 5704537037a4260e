"""CloudFormation's operations that only ask. Lists are answered whole; paging is the client's."""

from __future__ import annotations

from twin import shapes
from twin.desk import Answer, Desk, Params
from twin.records import Held, Refusal, Stack, Version


class Questions(Desk):
    """Describe, list and get."""

    def describe_stacks(self, p: Params) -> Answer:
        """One stack, or all that are not deleted."""
        if "StackName" not in p:
            live = [s for s in self.region.stacks.values() if s.status != "DELETE_COMPLETE"]
            return {"Stacks": [shapes.description(stack) for stack in live]}
        stack = self.region.found(p["StackName"])
        if stack is None:
            raise Refusal(f"Stack with id {p['StackName']} does not exist")
        return {"Stacks": [shapes.description(stack)]}

    def list_stacks(self, p: Params) -> Answer:
        """Every stack, deleted ones included, in the statuses asked for."""
        wanted = p.get("StackStatusFilter")
        members = (
            "StackId",
            "StackName",
            "CreationTime",
            "LastUpdatedTime",
            "DeletionTime",
            "StackStatus",
            "StackStatusReason",
        )
        found = [shapes.description(stack) for stack in self.region.stacks.values()]
        return {
            "StackSummaries": [
                {key: item[key] for key in members if key in item}
                for item in found
                if not wanted or item["StackStatus"] in wanted
            ]
        }

    def list_stack_resources(self, p: Params) -> Answer:
        """The resources in short."""
        stack = self._stack(p)
        return {
            "StackResourceSummaries": [
                {**shapes.resource(held), "LastUpdatedTimestamp": held.changed}
                for held in _listed(stack)
            ]
        }

    def describe_stack_resources(self, p: Params) -> Answer:
        """The resources, or one of them."""
        if "StackName" not in p:
            name = p["PhysicalResourceId"]
            owner = next((s for s in self.region.stacks.values() if name in _physical_ids(s)), None)
            if owner is None:
                raise Refusal(f"Stack for {name} does not exist")
            p = {"StackName": owner.id}
        stack = self._stack(p)
        wanted = p.get("LogicalResourceId")
        return {
            "StackResources": [
                {
                    **shapes.resource(held),
                    "StackName": stack.name,
                    "StackId": stack.id,
                    "Timestamp": held.changed,
                }
                for held in _listed(stack)
                if wanted in (None, held.logical_id)
            ]
        }

    def get_template(self, p: Params) -> Answer:
        """The template as it was given, of a stack or of a change set."""
        if "ChangeSetName" in p:
            version: Version | None = self._change_set(p)[0].version
        else:
            version = self._stack(p).version
        return {
            "TemplateBody": version.text if version else "",
            "StagesAvailable": ["Original", "Processed"],
        }

    def list_exports(self, p: Params) -> Answer:
        """Every export of the region."""
        return {
            "Exports": [
                {"ExportingStackId": stack.id, "Name": name, "Value": value}
                for stack in self.region.stacks.values()
                for name, value in stack.exports.items()
            ]
        }

    def list_imports(self, p: Params) -> Answer:
        """Who imports an export; an error where nobody does."""
        name = p["ExportName"]
        if self.region.exporter(name) is None:
            raise Refusal(f"Export '{name}' does not exist.")
        users = self.region.importers(name)
        if not users:
            raise Refusal(f"Export '{name}' is not imported by any stack.")
        return {"Imports": users}


def _listed(stack: Stack) -> list[Held]:
    """The resources, and those that a deletion or the rollback of a creation removed."""
    gone = stack.gone if stack.status.startswith(("DELETE_", "ROLLBACK_")) else {}
    return [*stack.held.values(), *(gone[name] for name in gone if name not in stack.held)]


def _physical_ids(stack: Stack) -> set[str]:
    return {held.physical_id for held in stack.held.values()}
