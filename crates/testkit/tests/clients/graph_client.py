"""Microsoft's SDK for Graph (beta), as its users call it: the steps by which a pilot is set up."""

import asyncio

from graph_policies import ACCOUNT_PROTECTION, connected, node, set_up
from kiota_abstractions.api_error import APIError
from msgraph_beta.generated.device_management.configuration_policies.configuration_policies_request_builder import (
    ConfigurationPoliciesRequestBuilder,
)
from msgraph_beta.generated.models.device_enrollment_windows_hello_for_business_configuration import (
    DeviceEnrollmentWindowsHelloForBusinessConfiguration,
)
from msgraph_beta.generated.models.device_management_configuration_policy import (
    DeviceManagementConfigurationPolicy as Policy,
)
from msgraph_beta.generated.models.enablement import Enablement


async def main():
    graph = connected()
    policies = graph.device_management.configuration_policies

    group, pilot, digits = await set_up(graph, "emil@cloud.example", 6)
    (member,) = (await graph.groups.by_group_id(group.id).members.get()).value
    assert member.user_principal_name == "emil@cloud.example", member

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
        for value in getattr(instance, "group_setting_collection_value_template", None) or []:
            for child in value.children:
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
