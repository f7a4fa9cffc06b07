"""Policies as users of Microsoft's SDK for Graph (beta) write them, and a person's token for them."""

import os
import urllib.parse

import msal
import person
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from msgraph_beta import GraphRequestAdapter, GraphServiceClient
from msgraph_beta.generated.device_management.configuration_policies.item.assign.assign_post_request_body import (
    AssignPostRequestBody,
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
from msgraph_beta.generated.models.group import Group
from msgraph_beta.generated.models.group_assignment_target import GroupAssignmentTarget
from msgraph_beta.generated.models.reference_create import ReferenceCreate

HOST, TENANT = os.environ["HOST"], os.environ["TENANT"]
BASE = f"https://{HOST}/beta"
ACCOUNT_PROTECTION = "fcef01f2-439d-4c3f-9184-823fd6e97646_1"

# What the application asks for, and no more.
PERMISSIONS = [
    f"https://graph.microsoft.com/{name}"
    for name in (
        "DeviceManagementConfiguration.ReadWrite.All",
        "DeviceManagementServiceConfig.ReadWrite.All",
        "Group.ReadWrite.All",
        "User.Read.All",
    )
]


def token():
    client = msal.PublicClientApplication(
        "native", authority=f"https://{HOST}/{TENANT}", instance_discovery=False
    )
    flow = client.initiate_auth_code_flow(PERMISSIONS, redirect_uri="https://rp.test/callback")
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


def connected():
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Given(token())))
    adapter.base_url = BASE
    return GraphServiceClient(request_adapter=adapter)


async def set_up(graph, member, shortest):
    """A group with one member, and for it account protection and digits from the catalog."""
    policies = graph.device_management.configuration_policies
    group = await graph.groups.post(
        Group(
            display_name="Windows Hello for Business Users",
            mail_enabled=False,
            mail_nickname="whfb",
            security_enabled=True,
        )
    )
    user = await graph.users.by_user_id(member).get()
    reference = ReferenceCreate(odata_id=f"{BASE}/directoryObjects/{user.id}")
    await graph.groups.by_group_id(group.id).members.ref.post(reference)
    pilot = await policies.post(
        policy(
            "Windows Hello for Business",
            "device",
            [
                choice("device", "usepassportforwork", "true"),
                choice("device", "requiresecuritydevice", "true"),
                number("device", "pincomplexity_minimumpinlength", shortest),
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
    return group, pilot, digits
