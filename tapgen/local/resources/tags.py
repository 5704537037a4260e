"""Stack-level tags on types that the emulator leaves untagged.

CloudFormation adds three tags of its own (``aws:cloudformation:…``), but not everywhere.
"""

from __future__ import annotations

from typing import Any

from tapgen.local import reach

# Types with a tag property that the emulator does not hand the stack's tags to.
_TAGGED = (
    "AWS::EC2::EIP",
    "AWS::EC2::FlowLog",
    "AWS::EC2::NatGateway",
    "AWS::ECS::TaskDefinition",
    "AWS::ElastiCache::ParameterGroup",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::ElastiCache::User",
    "AWS::ElastiCache::UserGroup",
    "AWS::Events::Rule",
    "AWS::S3::Bucket",
)
# The services that refuse CloudFormation's own tags.
_WITHOUT_SYSTEM_TAGS = ("AWS::ElastiCache::", "AWS::IAM::", "AWS::KMS::")


def install() -> None:
    """Put this corner in."""
    provisioners, stacks = reach.cloudformation("provisioners"), reach.cloudformation("stacks")
    for kind in _TAGGED:
        provisioners._STACK_TAG_PROPERTY.setdefault(kind, ("Tags", "list"))
    with_stack_tags = stacks._with_stack_tags

    def tagging(kind: str, *rest: Any) -> Any:
        props = with_stack_tags(kind, *rest)
        if kind.startswith(_WITHOUT_SYSTEM_TAGS) and isinstance(props.get("Tags"), list):
            own = [tag for tag in props["Tags"] if not tag["Key"].startswith("aws:")]
            return {**props, "Tags": own}
        return props

    stacks._with_stack_tags = tagging
