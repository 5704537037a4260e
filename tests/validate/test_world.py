"""One world out of several templates: what is put in, and how the rest is spelled."""

from __future__ import annotations

from judged import sources, world

from tapgen.validate.load import parse_yaml
from tapgen.validate.world import LONGEST_SUFFIX, World, number

TWO_STACKS = """
stacks:
  net:
    Parameters: {EnvironmentSuffix: {Type: String}}
    Resources: {Vpc: {Type: AWS::EC2::VPC}, Sg: {Type: AWS::EC2::SecurityGroup}}
    Outputs:
      Vpc: {Value: !Ref Vpc, Export: {Name: !Sub "tap-${EnvironmentSuffix}-Vpc"}}
      Sg: {Value: !GetAtt Sg.GroupId, Export: {Name: sg}}
  app:
    Parameters: {EnvironmentSuffix: {Type: String}}
    Resources:
      Here:
        Type: AWS::EC2::SecurityGroup
        Properties:
          VpcId: !ImportValue {"Fn::Sub": "tap-${EnvironmentSuffix}-Vpc"}
          Text: !Sub ["${A}/${Vpc.Arn}/${!kept}", {A: !ImportValue sg, Vpc.Arn: word}]
          Unknown: !ImportValue nobodys
    Outputs: {Again: {Value: !ImportValue sg, Export: {Name: handed-on}}}
  far:
    Resources:
      Far: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !ImportValue handed-on}}
"""


def parsed(text: str) -> World:
    return world(parse_yaml(text))


def properties(world_: World, stack: str, name: str) -> dict[str, object]:
    found = world_.find(stack, name)
    assert found is not None
    return dict(found.properties)


def test_an_import_is_the_value_that_the_other_stack_exports() -> None:
    assert properties(parsed(TWO_STACKS), "app", "Here") == {
        "VpcId": "${net:Vpc}",
        "Text": "${net:Sg.GroupId}/word/${kept}",
        "Unknown": '${?{"Fn::ImportValue": "nobodys"}}',
    }


def test_a_value_handed_on_is_followed_to_the_stack_it_comes_from() -> None:
    assert properties(parsed(TWO_STACKS), "far", "Far") == {"GroupId": "${net:Sg.GroupId}"}


def test_a_reference_leads_to_its_resource_and_attribute() -> None:
    found = parsed(TWO_STACKS)

    target = found.target("${net:Sg.GroupId}")

    assert target is not None
    assert (target.resource.logical_id, target.attribute) == ("Sg", "GroupId")
    assert found.target("x-${net:Sg}") is None
    assert [each.resource.logical_id for each in found.targets({"a": ["${net:Sg}${net:Vpc}"]})] == [
        "Sg",
        "Vpc",
    ]


PARAMETERS = """
Parameters:
  EnvironmentSuffix: {Type: String, Default: dev}
  Switch: {Type: String, Default: "true", AllowedValues: ["true", "false"]}
  Zones: {Type: CommaDelimitedList, Default: "a, b"}
  Image: {Type: "AWS::SSM::Parameter::Value<String>", Default: /path}
  Key: {Type: String}
Conditions: {IsOn: !Equals [!Ref Switch, "true"]}
Resources:
  One:
    Type: AWS::X::Y
    Properties:
      Suffix: !Ref EnvironmentSuffix
      Zones: !Ref Zones
      Image: !Ref Image
      Key: !Sub "s3://${Key}"
      Mode: !If [IsOn, all, !Ref AWS::NoValue]
      Attribute: !GetAtt One.Deep.Attribute
      Zone: !Select [0, !GetAZs ""]
"""


def test_parameters_take_their_defaults_and_the_suffix_is_the_longest() -> None:
    assert properties(parsed(PARAMETERS), "app", "One") == {
        "Suffix": "long-suffix-20-chars",
        "Zones": ["a", "b"],
        "Image": "${app:Parameters.Image}",
        "Key": "s3://${app:Parameters.Key}",
        "Mode": "all",
        "Attribute": "${app:One.Deep.Attribute}",
        "Zone": '${?{"Fn::Select": [0, {"Fn::GetAZs": ""}]}}',
    }
    assert len(LONGEST_SUFFIX) == 20


def test_turned_the_other_way_round_a_switch_takes_its_part_away() -> None:
    turned = World.of(sources(parse_yaml(PARAMETERS)), turned=True)

    assert "Mode" not in properties(turned, "app", "One")


def test_stacks_that_import_from_each_other_leave_their_imports_as_they_stand() -> None:
    circle = """
    stacks:
      one: {Outputs: {A: {Value: !ImportValue b, Export: {Name: a}}}}
      two: {Outputs: {B: {Value: !ImportValue a, Export: {Name: b}}}}
    """

    assert [output.value for output in parsed(circle).outputs] == [
        '${?{"Fn::ImportValue": "b"}}',
        '${?{"Fn::ImportValue": "a"}}',
    ]


def test_numbers_are_read_from_texts_too() -> None:
    assert [number(value) for value in ("100", 7, None, "x")] == [100.0, 7.0, None, None]
