"""Workflow: the state machine that runs the processing task, and who hears when it cannot.

A job is one execution: a Fargate task to its end, tried again with growing waits, then a message
to the topic of completed or of failed work. What a state machine cannot report itself, running
into its own time-out or being aborted, an EventBridge rule does.

The execution's input travels with nobody: the task, which knows its execution, asks for it.

A change of the task definition makes a new revision, and the old one is kept: executions under way
hold its ARN. The ARN changes with every revision, so no other stack may import it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from awacs import states as states_actions
from troposphere import GetAtt, Ref, Sub, ecs, events, logs, stepfunctions
from troposphere.iam import PolicyType

from tapgen import iam
from tapgen.stack import Draft, Exported, Stack
from tapgen.tiers import _workflow_role, _workflow_states, _workflow_task
from tapgen.tiers import compute as containers
from tapgen.tiers import network as net
from tapgen.tiers import notification as notify
from tapgen.tiers import storage as data


@dataclass(frozen=True)
class Exports:
    """What others may use of the workflow; nobody may import the task definition's ARN."""

    state_machine_arn: Exported
    state_machine_name: Exported
    task_definition_arn: Exported


def describe(
    *,
    network: net.Exports,
    storage: data.Exports,
    compute: containers.Exports,
    notification: notify.Exports,
) -> Stack[Exports]:
    """Describe the workflow over its neighbours' exports."""
    draft = Draft("workflow", "Workflow: state machine, processing task, notices of both ends")

    task = _workflow_task.add(draft, storage, compute)
    log_group = _log_group(draft)
    role = _workflow_role.add(draft, compute, notification)
    machine = draft.add(
        stepfunctions.StateMachine(
            "Workflow",
            StateMachineName=draft.name("video-processing-workflow"),
            StateMachineType="STANDARD",
            RoleArn=GetAtt(role, "Arn"),
            DefinitionString=_definition(task, network, compute, notification),
            LoggingConfiguration=stepfunctions.LoggingConfiguration(
                Level="ALL",
                IncludeExecutionData=True,
                Destinations=[
                    stepfunctions.LogDestination(
                        CloudWatchLogsLogGroup=stepfunctions.CloudWatchLogsLogGroup(
                            # With its :* at the end; Step Functions refuses it without.
                            LogGroupArn=GetAtt(log_group, "Arn")
                        )
                    )
                ],
            ),
            TracingConfiguration=stepfunctions.TracingConfiguration(Enabled=True),
        )
    )
    _let_task_speak_to(draft, machine, compute)
    _report_uncaught(draft, machine, notification)

    return draft.finish(
        Exports(
            state_machine_arn=draft.export(
                "StateMachineArn", Ref(machine), "The state machine; a job is an execution of it"
            ),
            state_machine_name=draft.export(
                "StateMachineName", GetAtt(machine, "Name"), "Name of the state machine"
            ),
            task_definition_arn=draft.export(
                "TaskDefinitionArn", Ref(task), "Current revision; not to be imported"
            ),
        )
    )


def _log_group(draft: Draft) -> logs.LogGroup:
    days = draft.parameter(
        "WorkflowLogRetentionDays",
        group="Workflow",
        label="Days to keep the executions' log",
        description="Days that the state machine's log is kept, with the data of each execution",
        Type="Number",
        Default=30,
        AllowedValues=[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365],
    )
    return draft.add(
        logs.LogGroup(
            "WorkflowLogGroup",
            # Under this prefix AWS has one resource policy for all groups. Elsewhere each group is
            # added to a policy of 5,120 characters, and the environment that finds it full fails
            # with a message about the role.
            LogGroupName=draft.name("/aws/vendedlogs/states/video-processing-workflow"),
            RetentionInDays=days,
        )
    )


def _definition(
    task: ecs.TaskDefinition,
    network: net.Exports,
    compute: containers.Exports,
    notification: notify.Exports,
) -> Sub:
    # Fn::Sub and not DefinitionSubstitutions: those read back filled in, which shows as drift.
    subnet_a, subnet_b = network.private_subnet_ids
    values: dict[str, Any] = {
        "ClusterArn": compute.ecs_cluster_arn,
        "CompletionTopicArn": notification.completion_topic_arn,
        "ErrorTopicArn": notification.error_topic_arn,
        "SubnetAId": subnet_a,
        "SubnetBId": subnet_b,
        "TaskSecurityGroupId": network.ecs_security_group_id,
        "VideoTask": Ref(task),
    }
    return Sub(json.dumps(_workflow_states.definition(), indent=2, sort_keys=True), values)


def _let_task_speak_to(
    draft: Draft, machine: stepfunctions.StateMachine, compute: containers.Exports
) -> None:
    # From here, not with the role: the role's stack comes before the state machine's.
    draft.add(
        PolicyType(
            "TaskCallback",
            PolicyName="call-back-the-workflow",
            Roles=[compute.task_role_name],
            PolicyDocument=iam.document(
                iam.allow(
                    "CallBack",
                    [
                        states_actions.SendTaskFailure,
                        states_actions.SendTaskHeartbeat,
                        states_actions.SendTaskSuccess,
                    ],
                    # The IAM reference lists no resource type, but the service does judge by the
                    # state machine's ARN. Idle until a state waits for a token, which
                    # runTask.sync does not.
                    [Ref(machine)],
                ),
                iam.allow(
                    "ReadItsInput",
                    [states_actions.DescribeExecution],
                    [
                        Sub(
                            "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}"
                            ":execution:${Machine}:*",
                            Machine=GetAtt(machine, "Name"),
                        )
                    ],
                ),
            ),
        )
    )


def _report_uncaught(
    draft: Draft, machine: stepfunctions.StateMachine, notification: notify.Exports
) -> None:
    draft.add(
        events.Rule(
            "UncaughtEnd",
            Name=draft.name("video-processing-uncaught"),
            Description="Executions that ended without reaching a state that reports it",
            EventPattern={
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {
                    "stateMachineArn": [Ref(machine)],
                    "status": ["ABORTED", "TIMED_OUT"],
                },
            },
            # Without RoleArn: the topic's policy lets EventBridge in, and deliveries to an
            # encrypted topic with a role have failed.
            Targets=[
                events.Target(
                    Id="error-topic",
                    Arn=notification.error_topic_arn,
                    # The words of the other notices, and not the event: that has the input in it,
                    # and with a large one is more than SNS takes.
                    InputTransformer=events.InputTransformer(
                        InputPathsMap={
                            "execution": "$.detail.executionArn",
                            "job": "$.detail.name",
                            "status": "$.detail.status",
                        },
                        InputTemplate='{"execution":<execution>,"job":<job>,"status":<status>}',
                    ),
                )
            ],
        )
    )
