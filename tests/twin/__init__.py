"""AWS in memory, for tests of the engine: the rules of CloudFormation behind botocore's clients.

``clock``       virtual time, and the processes that run in it
``records``     stacks, resources, events, change sets: what is remembered
``templates``   reading a template: refusals at the door, dependencies, values
``changes``     in what a stack and a template differ
``ledger``      what a stack tells: operations, statuses, events
``resources``   what happens to resources: side by side, cancelled, replaced, kept
``operations``  create, update, roll back, delete a stack, step by step
``region``      all stacks of a region, its exports and physical resources
``policies``    stack policies: what an update may do to a resource
``service``     the API operations that create, update and delete stacks
``recovery``    those that cancel, roll back, go on and protect
``reviews``     the API operations on change sets
``questions``   the API operations that only ask
``history``     what happened: stack events, and events by operation
``desk``        what all operations need; ``shapes`` the forms of their answers
``account``     the few questions to other services
``faults``      throttling, lost answers, failing resources, kills
``client``      botocore's clients in front of it
``graphs``      random graphs of stacks
``states``      ways into every status that a stack can have
``scene``       small tiers and an environment on it: the stage that the engine's tests share
``rounds``      the same for exports that leave, change and move

What is left out: nested stacks, stack sets, refactoring, macros, drift, rollback triggers, early
validation without a change set, ListHookResults.
"""

from twin.account import Account
from twin.client import Twin
from twin.clock import VirtualClock
from twin.faults import Killed
from twin.records import Refusal
from twin.region import Region

__all__ = ["Account", "Killed", "Refusal", "Region", "Twin", "VirtualClock"]
