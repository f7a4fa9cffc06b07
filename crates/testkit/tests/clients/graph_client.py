"""Microsoft's SDK for Graph (beta), as its users call it: the steps by which a pilot is set up."""

import asyncio
import os
import urllib.parse

import msal
import person
from kiota_abstractions.api_error import APIError
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from msgraph_beta import GraphRequestAdapter, GraphServiceClient
from msgraph_beta.generated.device_management.configuration_policies.configuration_policies_request_builder import (
    ConfigurationPoliciesRequestBuilder,
)
from msgraph_beta.generated.device_management.configuration_policies.item.assign.assign_post_request_body import (
    AssignPostRequestBody,
)
from msgraph_beta.generated.models.device_enrollment_windows_hello_for_business_configuration import (
    DeviceEnrollmentWindowsHelloForBusinessConfiguration,
)
from msgraph_beta.generated.models.device_management_configuration_choice_setting_instance import (
    DeviceManagementConfigurationChoiceSettingInstance as ChoiceInstance,
)
from msgraph_beta.generated.models.device_management_configuration_choice_setting_value import (
    DeviceManagementConfigurationChoiceSettingValue as ChoiceValue,
)
from msgraph_beta.generated.models.device_management_configuration_group_setting_collection_instance import (
    DeviceManagementConfigurationGroupSettingCollectionInstance as CollectionInstance,
)
from msgraph_beta.generated.models.device_management_configuration_group_setting_value import (
    DeviceManagementConfigurationGroupSettingValue as GroupValue,
)
from msgraph_beta.generated.models.device_management_configuration_integer_setting_value import (
    DeviceManagementConfigurationIntegerSettingValue as IntegerValue,
)
from msgraph_beta.generated.models.device_management_configuration_platforms import (
    DeviceManagementConfigurationPlatforms as Platforms,
)
from msgraph_beta.generated.models.device_management_configuration_policy import (
    DeviceManagementConfigurationPolicy as Policy,
)
from msgraph_beta.generated.models.device_management_configuration_policy_assignment import (
    DeviceManagementConfigurationPolicyAssignment as Assignment,
)
from msgraph_beta.generated.models.device_management_configuration_policy_template_reference import (
    DeviceManagementConfigurationPolicyTemplateReference as Template,
)
from msgraph_beta.generated.models.device_management_configuration_setting import (
    DeviceManagementConfigurationSetting as Setting,
)
from msgraph_beta.generated.models.device_management_configuration_simple_setting_instance import (
    DeviceManagementConfigurationSimpleSettingInstance as SimpleInstance,
)
from msgraph_beta.generated.models.device_management_configuration_technologies import (
    DeviceManagementConfigurationTechnologies as Technologies,
)
from msgraph_beta.generated.models.enablement import Enablement
from msgraph_beta.generated.models.group import Group
from msgraph_beta.generated.models.group_assignment_target import GroupAssignmentTarget
from msgraph_beta.generated.models.reference_create import ReferenceCreate

HOST, TENANT = os.environ["HOST"], os.environ["TENANT"]
BASE = f"https://{HOST}/beta"
ACCOUNT_PROTECTION = "fcef01f2-439d-4c3f-9184-823fd6e97646_1"


def token():
    client = msal.PublicClientApplication(
        "native", authority=f"https://{HOST}/{TENANT}", instance_discovery=False
    )
    flow = client.initiate_auth_code_flow(
        ["https://graph.microsoft.com/DeviceManagementConfiguration.ReadWrite.All"],
        redirect_uri="https://rp.test/callback",
    )
    back = person.Person("dora@cloud.example").visit(flow["auth_uri"])
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    result = client.acquire_token_by_auth_code_flow(flow, query)
    assert "access_token" in result, result
    return result["access_token"]


class Given(AccessTokenProvider):
    def __init__(self, token):
        self.token = token

    async def get_authorization_token(self, uri, additional_authentication_context=None):
        return self.token

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator([HOST])


def node(tree, name=""):
    return f"{tree}_vendor_msft_passportforwork_{{tenantid}}{name}"


def choice(tree, name, option):
    place = node(tree, f"_policies_{name}")
    value = ChoiceValue(value=f"{place}_{option}", children=[])
    value.odata_type = "#microsoft.graph.deviceManagementConfigurationChoiceSettingValue"
    return ChoiceInstance(
        odata_type="#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance",
        setting_definition_id=place,
        choice_setting_value=value,
    )


def number(tree, name, value):
    return SimpleInstance(
        odata_type="#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance",
        setting_definition_id=node(tree, f"_policies_{name}"),
        simple_setting_value=IntegerValue(
            odata_type="#microsoft.graph.deviceManagementConfigurationIntegerSettingValue",
            value=value,
        ),
    )


def policy(name, tree, children, template=None):
    collection = CollectionInstance(
        odata_type="#microsoft.graph.deviceManagementConfigurationGroupSettingCollectionInstance",
        setting_definition_id=node(tree),
        group_setting_collection_value=[GroupValue(children=children)],
    )
    return Policy(
        name=name,
        description="Set up by the steps of the documentation",
        platforms=Platforms.Windows10,
        technologies=Technologies.Mdm,
        role_scope_tag_ids=["0"],
        template_reference=Template(template_id=template) if template else None,
        settings=[Setting(setting_instance=collection)],
    )


async def main():
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Given(token())))
    adapter.base_url = BASE
    graph = GraphServiceClient(request_adapter=adapter)
    policies = graph.device_management.configuration_policies

    group = await graph.groups.post(
        Group(
            display_name="Windows Hello for Business Users",
            mail_enabled=False,
            mail_nickname="whfb",
            security_enabled=True,
        )
    )
    emil = await graph.users.by_user_id("emil@cloud.example").get()
    reference = ReferenceCreate(odata_id=f"{BASE}/directoryObjects/{emil.id}")
    members = graph.groups.by_group_id(group.id).members
    await members.ref.post(reference)
    (member,) = (await members.get()).value
    assert member.user_principal_name == "emil@cloud.example", member

    pilot = await policies.post(
        policy(
            "Windows Hello for Business",
            "device",
            [
                choice("device", "usepassportforwork", "true"),
                choice("device", "requiresecuritydevice", "true"),
                number("device", "pincomplexity_minimumpinlength", 6),
            ],
            ACCOUNT_PROTECTION,
        )
    )
    digits = await policies.post(
        policy("Digits", "user", [choice("user", "pincomplexity_digits", "1")])
    )
    target = GroupAssignmentTarget(
        odata_type="#microsoft.graph.groupAssignmentTarget", group_id=group.id
    )
    for made in (pilot, digits):
        body = AssignPostRequestBody(assignments=[Assignment(target=target)])
        await policies.by_device_management_configuration_policy_id(made.id).assign.post(body)

    query = ConfigurationPoliciesRequestBuilder.ConfigurationPoliciesRequestBuilderGetQueryParameters(
        filter="name eq 'Windows Hello for Business' and platforms has 'windows10'",
        expand=["assignments", "settings($expand=settingDefinitions)"],
    )
    configuration = ConfigurationPoliciesRequestBuilder.ConfigurationPoliciesRequestBuilderGetRequestConfiguration(
        query_parameters=query
    )
    (found,) = (await policies.get(request_configuration=configuration)).value
    assert found.id == pilot.id and found.is_assigned, found
    assert found.template_reference.template_family.value == "endpointSecurityAccountProtection"
    assert found.assignments[0].target.group_id == group.id
    (setting,) = found.settings
    (value,) = setting.setting_instance.group_setting_collection_value
    ids = [child.setting_definition_id for child in value.children]
    assert node("device", "_policies_usepassportforwork") in ids, ids
    assert len(setting.setting_definitions) == 4, setting.setting_definitions

    item = policies.by_device_management_configuration_policy_id(digits.id)
    (setting,) = (await item.settings.get()).value
    (value,) = setting.setting_instance.group_setting_collection_value
    assert value.children[0].choice_setting_value.value.endswith("digits_1")
    assert value.children[0].setting_instance_template_reference is None
    changed = await item.patch(Policy(description="Digits are required"))
    assert changed.description == "Digits are required", changed

    templates = graph.device_management.configuration_policy_templates
    template = templates.by_device_management_configuration_policy_template_id(ACCOUNT_PROTECTION)
    parts = (await template.setting_templates.get()).value
    assert len(parts) == (await template.get()).setting_template_count, parts
    ids = {}
    for part in parts:
        instance = part.setting_instance_template
        for group in getattr(instance, "group_setting_collection_value_template", None) or []:
            for child in group.children:
                ids[child.setting_definition_id] = child.setting_instance_template_id
    assert node("device", "_policies_pincomplexity_minimumpinlength") in ids, ids
    assert node("user", "_policies_usepassportforwork") in ids, ids
    assert node("device", "_policies_pincomplexity_digits") not in ids, ids
    item = policies.by_device_management_configuration_policy_id(pilot.id)
    (setting,) = (await item.settings.get()).value
    (value,) = setting.setting_instance.group_setting_collection_value
    for child in value.children:
        reference = child.setting_instance_template_reference.setting_instance_template_id
        assert reference == ids[child.setting_definition_id], child

    catalog = await graph.device_management.configuration_settings.get()
    names = [definition.display_name for definition in catalog.value]
    assert "Digits" in names and "Digits (User)" in names, names

    configurations = graph.device_management.device_enrollment_configurations
    (default,) = (await configurations.get()).value
    assert isinstance(default, DeviceEnrollmentWindowsHelloForBusinessConfiguration), default
    change = DeviceEnrollmentWindowsHelloForBusinessConfiguration(
        odata_type="#microsoft.graph.deviceEnrollmentWindowsHelloForBusinessConfiguration",
        state=Enablement.Disabled,
    )
    one = configurations.by_device_enrollment_configuration_id(default.id)
    assert (await one.patch(change)).state == Enablement.Disabled

    for made in (pilot, digits):
        await policies.by_device_management_configuration_policy_id(made.id).delete()
    try:
        await policies.by_device_management_configuration_policy_id(digits.id).get()
    except APIError as refused:
        assert refused.response_status_code == 404, refused
        assert refused.error.code == "ResourceNotFound", refused
    else:
        raise AssertionError("the policy is there still")
    await graph.groups.by_group_id(group.id).delete()
    print("graph: done")


asyncio.run(main())
