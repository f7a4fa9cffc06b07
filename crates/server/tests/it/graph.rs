//! Microsoft Graph: policies as the original's clients make them, refusals in its form, and who may.

use api::GRAPH_AUDIENCE;
use serde_json::{Value, json};

use crate::{
    administrators::{administrator, console, console_for, person, request, token_for, within},
    oauth::browser::{Browser, parameter},
    parties::{ALICE, guid, ready},
    server::{Answer, TestServer},
};

pub(crate) const POLICIES: &str = "/beta/deviceManagement/configurationPolicies";
pub(crate) const CONFIGURATIONS: &str = "/beta/deviceManagement/deviceEnrollmentConfigurations";

const HELLO: &str = "device_vendor_msft_passportforwork_{tenantid}";

/// One choice of the settings catalog, in the tree of devices or of users.
pub(crate) fn choice(tree: &str, name: &str, option: &str) -> Value {
    let id = format!("{tree}_vendor_msft_passportforwork_{{tenantid}}_policies_{name}");
    json!({
        "@odata.type": "#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance",
        "settingDefinitionId": id,
        "choiceSettingValue": { "value": format!("{id}_{option}"), "children": [] },
    })
}

/// A number of the settings catalog.
pub(crate) fn number(tree: &str, name: &str, value: u32) -> Value {
    let id = format!("{tree}_vendor_msft_passportforwork_{{tenantid}}_policies_{name}");
    json!({
        "@odata.type": "#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance",
        "settingDefinitionId": id,
        "simpleSettingValue": {
            "@odata.type": "#microsoft.graph.deviceManagementConfigurationIntegerSettingValue",
            "value": value,
        },
    })
}

/// The body of a policy with these settings in one tree.
pub(crate) fn body(name: &str, tree: &str, children: Vec<Value>) -> Value {
    json!({
        "name": name,
        "description": "",
        "platforms": "windows10",
        "technologies": "mdm",
        "settings": [{ "settingInstance": {
            "@odata.type":
                "#microsoft.graph.deviceManagementConfigurationGroupSettingCollectionInstance",
            "settingDefinitionId": format!("{tree}_vendor_msft_passportforwork_{{tenantid}}"),
            "groupSettingCollectionValue": [{ "children": children }],
        }}],
    })
}

fn hello() -> Value {
    let children = vec![
        choice("device", "usepassportforwork", "true"),
        number("device", "pincomplexity_minimumpinlength", 6),
    ];
    body("WHfB pilot", "device", children)
}

/// A target of that kind.
pub(crate) fn target(kind: &str, group: Option<&str>) -> Value {
    json!({ "target": { "@odata.type": format!("#microsoft.graph.{kind}"), "groupId": group } })
}

pub(crate) async fn root(
    server: &TestServer,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Answer {
    server.admin(method, path, body).await
}

/// Makes a policy as root; its id.
pub(crate) async fn create(server: &TestServer, body: Value) -> String {
    let made = root(server, "POST", POLICIES, Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["id"].as_str().unwrap().to_owned()
}

/// Assigns a policy to targets, and to nobody else.
pub(crate) async fn assign(server: &TestServer, id: &str, targets: Value) {
    let body = Some(json!({ "assignments": targets }));
    root(server, "POST", &format!("{POLICIES}/{id}/assign"), body)
        .await
        .good();
}

/// A request with a token for Graph.
async fn ask(
    server: &TestServer,
    bearer: &str,
    (method, path): (&str, &str),
    body: Option<Value>,
) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("client-request-id", "mine"),
    ];
    let body = body.map(|body| body.to_string().into_bytes());
    server
        .send(method, path, &headers, body.unwrap_or_default())
        .await
}

#[track_caller]
fn expect_error(answer: &Answer, status: u16, code: &str, part: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let error = &answer.body["error"];
    assert_eq!(error["code"], code, "{}", answer.text);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(part), "{message}");
    let inner = &error["innerError"];
    assert!(inner["request-id"].as_str().unwrap().len() == 36);
    assert!(inner["date"].as_str().unwrap().starts_with("20"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_made_found_changed_assigned_copied_and_deleted() {
    let (server, _, _) = ready().await;
    let mut account = hello();
    let template = "fcef01f2-439d-4c3f-9184-823fd6e97646_1";
    account["templateReference"] = json!({ "templateId": template });
    let id = create(&server, account).await;
    let path = format!("{POLICIES}/{id}");
    let get = async |path: &str| root(&server, "GET", path, None).await.good();

    let shown = get(&format!(
        "{path}?$expand=assignments,settings($expand=settingDefinitions)"
    ))
    .await;
    assert_eq!(shown["name"], "WHfB pilot");
    assert_eq!(shown["roleScopeTagIds"], json!(["0"]));
    assert_eq!(shown["settingCount"], 1);
    let family = &shown["templateReference"]["templateFamily"];
    assert_eq!(*family, "endpointSecurityAccountProtection");
    let definitions = shown["settings"][0]["settingDefinitions"]
        .as_array()
        .unwrap();
    assert_eq!(definitions.len(), 3);
    assert_eq!(definitions[0]["id"], HELLO);

    let filter = "$filter=name%20eq%20'whfb%20pilot'%20and%20platforms%20has%20'windows10'";
    let found = get(&format!(
        "{POLICIES}?{filter}&$select=id,name&$expand=assignments"
    ))
    .await;
    let row = json!({ "id": id, "name": "WHfB pilot", "assignments": [] });
    assert_eq!(found["value"], json!([row]));
    let none = get(&format!("{POLICIES}?$filter=name%20eq%20'x'")).await;
    assert_eq!(none["value"], json!([]));

    let group = guid(22).to_string();
    assign(
        &server,
        &id,
        json!([
            target("groupAssignmentTarget", Some(&group)),
            target(
                "exclusionGroupAssignmentTarget",
                Some(&guid(21).to_string())
            ),
        ]),
    )
    .await;
    let assigned = get(&format!("{path}/assignments")).await;
    assert_eq!(assigned["value"][0]["target"]["groupId"], group);
    assert_eq!(get(&path).await["isAssigned"], true);

    let children = vec![choice("device", "usepassportforwork", "false")];
    let mut change = json!({ "name": "Stop", "description": "for a while" });
    change["settings"] = body("", "device", children)["settings"].clone();
    let changed = root(&server, "PATCH", &path, Some(change)).await.good();
    assert_eq!(
        (&changed["name"], &changed["description"]),
        (&json!("Stop"), &json!("for a while"))
    );
    let settings = get(&format!("{path}/settings")).await;
    let value = "/value/0/settingInstance/groupSettingCollectionValue/0/children/0";
    let value = format!("{value}/choiceSettingValue/value");
    let value = settings.pointer(&value).unwrap().as_str().unwrap();
    assert!(value.ends_with("usepassportforwork_false"), "{value}");

    let copy = json!({ "displayName": "Copy" });
    let copy = root(&server, "POST", &format!("{path}/createCopy"), Some(copy))
        .await
        .good();
    assert_eq!(copy["isAssigned"], false);
    let page = get(&format!(
        "{POLICIES}?$top=1&$orderby=name%20desc&$count=true"
    ))
    .await;
    assert_eq!(page["@odata.count"], 2);
    assert_eq!(page["value"][0]["name"], "Stop");
    let next = page["@odata.nextLink"].as_str().unwrap();
    let next = next.strip_prefix(crate::server::URL).unwrap();
    assert_eq!(get(next).await["value"][0]["name"], "Copy");

    assert_eq!(root(&server, "DELETE", &path, None).await.status, 204);
    let gone = root(&server, "GET", &path, None).await;
    expect_error(&gone, 404, "ResourceNotFound", "there is no policy");
    let rows = server.admin("GET", "/audit", None).await.good();
    let actions: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    let ours: Vec<_> = actions
        .iter()
        .filter(|action| action.starts_with("policy."))
        .collect();
    assert_eq!(
        ours,
        [
            &"policy.delete",
            &"policy.create",
            &"policy.change",
            &"policy.assign",
            &"policy.create"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_should_be_is_refused_and_nothing_is_stored() {
    let (server, _, _) = ready().await;
    let single = |child: Value| body("x", "device", vec![child]);
    let on = || choice("device", "usepassportforwork", "true");
    let mut wrong_type = on();
    wrong_type["@odata.type"] = json!("#microsoft.graph.group");
    let length = |name: &str, value| number("device", &format!("pincomplexity_{name}"), value);
    let lengths = vec![
        length("minimumpinlength", 12),
        length("maximumpinlength", 8),
    ];
    let mut unnamed = hello();
    unnamed["name"] = json!(" ");
    let mut tagged = hello();
    tagged["roleScopeTagIds"] = json!([guid(99)]);
    let mut elsewhere = hello();
    elsewhere["platforms"] = json!("iOS");
    let mut other_template = hello();
    other_template["templateReference"] = json!({ "templateId": "x" });
    let mut assigned = hello();
    let missing = target("groupAssignmentTarget", Some(&guid(99).to_string()));
    assigned["assignments"] = json!([missing]);
    for (body, part) in [
        (json!({ "name": "x" }), "settings: a list is wanted"),
        (
            json!({ "nam": "x", "settings": [] }),
            "'nam' does not exist",
        ),
        (
            json!({ "@odata.type": "#microsoft.graph.group", "settings": [] }),
            "@odata.type",
        ),
        (
            single(choice("device", "nothing", "1")),
            "there is no setting",
        ),
        (
            single(number("device", "pincomplexity_minimumpinlength", 3)),
            "4 to 127",
        ),
        (single(wrong_type), "@odata.type"),
        (body("x", "device", vec![on(), on()]), "is there twice"),
        (
            body(
                "x",
                "device",
                vec![on(), choice("device", "usepassportforwork", "false")],
            ),
            "is set twice",
        ),
        (body("x", "device", vec![on(); 10_000]), "there are 10000"),
        (body("x", "device", lengths), "must be below the maximum"),
        (unnamed, "the name is empty"),
        (tagged, "no scope tag"),
        (elsewhere, "platforms is windows10"),
        (other_template, "there is no template"),
        (assigned, "there is no group"),
    ] {
        let refused = root(&server, "POST", POLICIES, Some(body)).await;
        expect_error(&refused, 400, "BadRequest", part);
    }
    let all = root(&server, "GET", POLICIES, None).await.good();
    assert_eq!(all["value"], json!([]));

    let id = create(&server, hello()).await;
    let path = format!("{POLICIES}/{id}/assign");
    let twice = target("allDevicesAssignmentTarget", None);
    let mut filtered = twice.clone();
    filtered["target"]["deviceAndAppManagementAssignmentFilterType"] = json!("include");
    for (targets, part) in [
        (json!([missing]), "there is no group"),
        (json!([twice, twice]), "assigned twice"),
        (json!([filtered]), "assignment filters are not offered"),
        (
            json!([target("scopeTagGroupAssignmentTarget", None)]),
            "no kind of target",
        ),
        (json!({}), "a list is wanted"),
    ] {
        let refused = root(
            &server,
            "POST",
            &path,
            Some(json!({ "assignments": targets })),
        )
        .await;
        expect_error(&refused, 400, "BadRequest", part);
    }
    let shown = root(&server, "GET", &format!("{POLICIES}/{id}"), None)
        .await
        .good();
    assert_eq!(shown["isAssigned"], false);
    let long = vec![b'x'; 5 * 1024 * 1024];
    let long = server.send("POST", POLICIES, &[], long).await;
    expect_error(&long, 413, "RequestEntityTooLarge", "too long");
    let nowhere = root(&server, "GET", "/beta/nothing", None).await;
    expect_error(
        &nowhere,
        404,
        "Request_ResourceNotFound",
        "nothing under this path",
    );
    let older = root(&server, "GET", &POLICIES.replace("beta", "v1.0"), None).await;
    expect_error(&older, 404, "ResourceNotFound", "nothing under this path");
    let query = root(&server, "GET", &format!("{POLICIES}?$expand=x"), None).await;
    expect_error(&query, 400, "BadRequest", "'x' to expand");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_has_every_setting_its_categories_and_the_template() {
    let (server, _, _) = ready().await;
    let get = async |path: &str| {
        let path = format!("/beta/deviceManagement/{path}");
        root(&server, "GET", &path, None).await.good()
    };
    let digits = get("configurationSettings?$filter=displayName%20eq%20'Digits%20(User)'").await;
    let id = digits["value"][0]["id"].as_str().unwrap().to_owned();
    assert!(
        id.starts_with("user_vendor_msft_passportforwork_{tenantid}"),
        "{id}"
    );
    let escaped = id.replace('{', "%7B").replace('}', "%7D");
    let one = get(&format!("configurationSettings/{escaped}")).await;
    assert_eq!(one["displayName"], "Digits (User)");
    let category = one["categoryId"].as_str().unwrap();
    let category = get(&format!("configurationCategories/{category}")).await;
    assert_eq!(category["displayName"], "Windows Hello For Business");
    let family = "templateFamily%20eq%20'endpointSecurityAccountProtection'";
    let templates = get(&format!("configurationPolicyTemplates?$filter={family}")).await;
    assert_eq!(templates["value"].as_array().unwrap().len(), 1);
    let template = &templates["value"][0];
    let path = format!(
        "configurationPolicyTemplates/{}/settingTemplates",
        template["id"].as_str().unwrap()
    );
    let parts = get(&format!("{path}?$expand=settingDefinitions")).await;
    let parts = parts["value"].as_array().unwrap();
    assert_eq!(template["settingTemplateCount"], parts.len());
    let collection = &parts[0]["settingInstanceTemplate"];
    assert_eq!(collection["settingDefinitionId"], HELLO);
    let children = &collection["groupSettingCollectionValueTemplate"][0]["children"];
    let children = children.as_array().unwrap().len();
    let definitions = parts[0]["settingDefinitions"].as_array().unwrap();
    assert_eq!(definitions.len(), children + 1);
    let one = get(&format!("{path}/0")).await;
    assert_eq!(one["settingInstanceTemplate"], *collection);
    let tags = get("roleScopeTags").await;
    assert_eq!(tags["value"][0]["id"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrollment_configuration_is_made_moved_assigned_and_deleted_but_the_default_stays() {
    let (server, _, _) = ready().await;
    let all = async || {
        let all = root(&server, "GET", CONFIGURATIONS, None).await.good();
        all["value"].as_array().unwrap().clone()
    };
    let default = all().await.remove(0);
    assert_eq!(
        (&default["priority"], &default["state"]),
        (&json!(0), &json!("notConfigured"))
    );
    let default = default["id"].as_str().unwrap().to_owned();
    assert!(
        default.ends_with("_DefaultWindowsHelloForBusiness"),
        "{default}"
    );
    let path = format!("{CONFIGURATIONS}/{default}");
    let change = Some(json!({ "state": "disabled", "pinMinimumLength": 8 }));
    let changed = root(&server, "PATCH", &path, change).await.good();
    assert_eq!(
        (&changed["version"], &changed["pinMinimumLength"]),
        (&json!(2), &json!(8))
    );
    let mut ids = Vec::new();
    for name in ["One", "Two"] {
        let new = json!({
            "@odata.type": "#microsoft.graph.deviceEnrollmentWindowsHelloForBusinessConfiguration",
            "displayName": name, "state": "enabled",
        });
        let made = root(&server, "POST", CONFIGURATIONS, Some(new)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        ids.push(made.body["id"].as_str().unwrap().to_owned());
    }
    let second = format!("{CONFIGURATIONS}/{}", ids[1]);
    let first = Some(json!({ "priority": 1 }));
    root(
        &server,
        "POST",
        &format!("{second}/setPriority"),
        first.clone(),
    )
    .await
    .good();
    let names: Vec<_> = all()
        .await
        .iter()
        .map(|one| one["displayName"].clone())
        .collect();
    assert_eq!(names, ["All users and all devices", "Two", "One"]);
    let targets = json!([target("groupAssignmentTarget", Some(&guid(22).to_string()))]);
    let body = Some(json!({ "enrollmentConfigurationAssignments": targets }));
    root(&server, "POST", &format!("{second}/assign"), body.clone())
        .await
        .good();
    let assigned = root(&server, "GET", &format!("{second}/assignments"), None)
        .await
        .good();
    assert_eq!(assigned["value"].as_array().unwrap().len(), 1);
    for (method, path, body, part) in [
        ("DELETE", path.clone(), None, "the default configuration"),
        (
            "POST",
            format!("{path}/assign"),
            body,
            "the default configuration",
        ),
        (
            "POST",
            format!("{path}/setPriority"),
            first,
            "the default configuration",
        ),
        (
            "POST",
            format!("{second}/setPriority"),
            Some(json!({ "priority": 3 })),
            "1 to 2",
        ),
        (
            "PATCH",
            path.clone(),
            Some(json!({ "pinMinimumLength": 3 })),
            "4 to 127",
        ),
        (
            "PATCH",
            path.clone(),
            Some(json!({ "digits": 3 })),
            "'digits' does not exist",
        ),
        (
            "PATCH",
            path.replace("beta", "v1.0"),
            Some(json!({ "securityKeyForSignIn": "enabled" })),
            "does not exist",
        ),
    ] {
        let refused = root(&server, method, &path, body).await;
        expect_error(&refused, 400, "BadRequest", part);
    }
    let older = root(&server, "GET", &path.replace("beta", "v1.0"), None)
        .await
        .good();
    assert_eq!(older.get("securityKeyForSignIn"), None);
    assert_eq!(older["state"], "disabled");
    root(&server, "DELETE", &second, None).await.good();
    assert_eq!(all().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_made_and_filled_and_users_and_devices_are_looked_at() {
    let (server, _, device) = ready().await;
    console(&server).await;
    let upn = person(&server, "admin", Some("policy")).await;
    let token = token_for(&server, &upn, GRAPH_AUDIENCE).await;
    let ask =
        async |method: &str, path: &str, body| ask(&server, &token, (method, path), body).await;
    let new = json!({
        "displayName": "WHfB pilot group", "mailEnabled": false, "mailNickname": "pilot",
        "securityEnabled": true, "groupTypes": [],
    });
    let made = ask("POST", "/v1.0/groups", Some(new)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let members = format!("/v1.0/groups/{}/members", made.body["id"].as_str().unwrap());
    let alice = guid(11).to_string();
    for id in [alice.clone(), device.id.to_string()] {
        let reference = json!({ "@odata.id": format!("https://x/v1.0/directoryObjects/{id}") });
        let added = ask("POST", &format!("{members}/$ref"), Some(reference)).await;
        assert_eq!(added.status, 204, "{}", added.text);
    }
    let shown = ask("GET", &members, None).await.good();
    let kinds: Vec<_> = shown["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["@odata.type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["#microsoft.graph.user", "#microsoft.graph.device"]);
    let page = ask("GET", &format!("{members}?$top=1"), None).await.good();
    let next = page["@odata.nextLink"]
        .as_str()
        .unwrap()
        .strip_prefix(crate::server::URL)
        .unwrap();
    assert_eq!(
        ask("GET", next, None).await.good()["value"][0]["displayName"],
        "ws1"
    );
    let removed = ask("DELETE", &format!("{members}/{alice}/$ref"), None).await;
    assert_eq!(removed.status, 204);
    let again = ask("DELETE", &format!("{members}/{alice}/$ref"), None).await;
    expect_error(&again, 404, "Request_ResourceNotFound", "no such member");
    let synced = ask("DELETE", &format!("/v1.0/groups/{}", guid(21)), None).await;
    expect_error(&synced, 400, "BadRequest", "a directory's");

    let found = ask(
        "GET",
        &format!("/v1.0/users?$filter=userPrincipalName%20eq%20'{ALICE}'"),
        None,
    )
    .await
    .good();
    assert_eq!(found["value"][0]["onPremisesSyncEnabled"], true);
    let named = ask("GET", &format!("/beta/users/{ALICE}"), None)
        .await
        .good();
    assert_eq!(named["id"], json!(alice));
    let begun = ask(
        "GET",
        "/beta/groups?$filter=startswith(displayName,'whfb')",
        None,
    )
    .await
    .good();
    assert_eq!(begun["value"].as_array().unwrap().len(), 1);
    let devices = ask("GET", "/beta/devices?$select=displayName,trustType", None)
        .await
        .good();
    assert_eq!(
        devices["value"],
        json!([{ "displayName": "ws1", "trustType": "ServerAd" }])
    );
    let odd = ask("GET", "/beta/users?$filter=mail%20eq%20'x'", None).await;
    expect_error(&odd, 400, "BadRequest", "Unsupported Query");
    assert_eq!(odd.headers["client-request-id"], "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_among_its_users_methods_and_deleted_there() {
    let (server, agent, device) = ready().await;
    let token = device.user_token(&server, &agent).await;
    let registration = device.registration(&crate::server::rsa_key("user"), 1104, 1);
    let path = format!("{}?api-version=1.0", api::device::KEY_PATH);
    let kid = server.post_json(&path, &token, &registration).await.good()["kid"].clone();
    let methods = format!("/v1.0/users/{ALICE}/authentication/windowsHelloForBusinessMethods");
    let shown = root(&server, "GET", &methods, None).await.good();
    assert_eq!(shown["value"].as_array().unwrap().len(), 1);
    assert_eq!(shown["value"][0]["id"], kid);
    assert_eq!(shown["value"][0]["displayName"], "ws1");
    assert_eq!(shown["value"][0]["keyStrength"], "normal");
    let one = format!("{methods}/{}", kid.as_str().unwrap());
    root(&server, "GET", &one, None).await.good();
    assert_eq!(root(&server, "DELETE", &one, None).await.status, 204);
    let gone = root(&server, "DELETE", &one, None).await;
    expect_error(&gone, 404, "Request_ResourceNotFound", "no key of that id");

    console(&server).await;
    let upn = person(&server, "plain", None).await;
    let own = token_for(&server, &upn, GRAPH_AUDIENCE).await;
    let path = "/v1.0/me/authentication/windowsHelloForBusinessMethods";
    let mine = ask(&server, &own, ("GET", path), None).await.good();
    assert_eq!(mine["value"], json!([]));
    let others = ask(&server, &own, ("GET", &methods), None).await;
    expect_error(&others, 403, "Authorization_RequestDenied", "roles");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_limited_to_a_tag_sees_and_edits_what_carries_it_and_nothing_else() {
    let (server, _, _) = ready().await;
    console(&server).await;
    let upn = within(&server, "limited", "policy", "Inner").await;
    let token = token_for(&server, &upn, GRAPH_AUDIENCE).await;
    let ask =
        async |method: &str, path: &str, body| ask(&server, &token, (method, path), body).await;
    let tag = guid(21).to_string();
    let whole = create(&server, hello()).await;
    let own = ask("POST", POLICIES, Some(hello())).await;
    assert_eq!(own.status, 201, "{}", own.text);
    assert_eq!(own.body["roleScopeTagIds"], json!([tag]));
    let id = own.body["id"].as_str().unwrap().to_owned();
    let seen = ask("GET", POLICIES, None).await.good();
    assert_eq!(seen["value"].as_array().unwrap().len(), 1);
    let hidden = ask("GET", &format!("{POLICIES}/{whole}"), None).await;
    expect_error(&hidden, 404, "ResourceNotFound", "there is no policy");
    let tags = ask("GET", "/beta/deviceManagement/roleScopeTags", None)
        .await
        .good();
    assert_eq!(tags["value"].as_array().unwrap().len(), 1);

    let path = format!("{POLICIES}/{id}");
    let more = ask(
        "PATCH",
        &path,
        Some(json!({ "roleScopeTagIds": [tag, "0"] })),
    )
    .await;
    expect_error(&more, 403, "Forbidden", "limited to scope tags");
    let assign = async |target: Value| {
        let body = Some(json!({ "assignments": [target] }));
        ask("POST", &format!("{path}/assign"), body).await
    };
    let group = |byte| target("groupAssignmentTarget", Some(&guid(byte).to_string()));
    for target in [target("allDevicesAssignmentTarget", None), group(22)] {
        expect_error(&assign(target).await, 403, "Forbidden", "that they cover");
    }
    assign(group(21)).await.good();
    let reader = administrator(&server, "reader", "reader").await;
    let elsewhere = crate::graph::ask(&server, &reader, ("GET", POLICIES), None).await;
    expect_error(
        &elsewhere,
        401,
        "InvalidAuthenticationToken",
        "not for this",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_does_what_it_is_registered_for_and_what_its_user_may() {
    let (server, _, _) = ready().await;
    let read = format!("{GRAPH_AUDIENCE}/DeviceManagementConfiguration.Read.All");
    console_for(&server, &[&read]).await;
    let upn = person(&server, "bounded", Some("global")).await;
    let token = token_for(&server, &upn, GRAPH_AUDIENCE).await;
    let seen = ask(&server, &token, ("GET", POLICIES), None).await;
    assert_eq!(seen.good()["value"], json!([]));
    let wanted = "it needs DeviceManagementConfiguration.ReadWrite.All";
    let made = ask(&server, &token, ("POST", POLICIES), Some(hello())).await;
    expect_error(&made, 403, "Forbidden", wanted);
    let users = ask(&server, &token, ("GET", "/v1.0/users"), None).await;
    expect_error(&users, 403, "Authorization_RequestDenied", "User.Read.All");

    // What it is not registered for it does not get.
    let more = request(&format!("{GRAPH_AUDIENCE}/User.Read.All"));
    let refused = Browser::new(&server).get(&more.path(&server)).await;
    let error = parameter(refused.location(), "error").unwrap();
    assert_eq!(error, "invalid_resource");
}
