//! `latchkey status`, in the layout and with the field names of `dsregcmd /status`; what only this
//! product knows has a section of its own at the end. In JSON the names are the same, without sections.

use std::fmt::Write as _;

use ipc::{Answered, CanReset, CredentialInfo, PreReqResult, Status, StatusAnswer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    daemon::{self, PATIENT},
    ffi,
    output::Output,
    person,
};

/// A title, and names with their values.
struct Section {
    title: &'static str,
    fields: Vec<(&'static str, String)>,
}

/// The width of what is between the corners of a title.
const WIDTH: usize = 70;

/// Where the colon stands.
const NAMES: usize = 27;

pub(crate) fn show(output: &Output) -> anyhow::Result<()> {
    let request = Status {
        remote: person::is_remote(),
        tests: ffi::uid() == 0,
    };
    let status = daemon::ask(&request, PATIENT)?;
    output.result(&status, || {
        let sections = sections(&status, OffsetDateTime::now_utc());
        sections.iter().map(drawn).collect()
    })
}

fn drawn(section: &Section) -> String {
    let line = format!("+{}+\n", "-".repeat(WIDTH));
    let mut text = format!("{line}| {:<1$} |\n{line}\n", section.title, WIDTH - 2);
    for (name, value) in &section.fields {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:>NAMES$} : {value}");
    }
    text.push('\n');
    text
}

fn sections(status: &StatusAnswer, now: OffsetDateTime) -> Vec<Section> {
    let mut sections = vec![device_state(status)];
    if status.joined {
        sections.extend([device_details(status), tenant_details(status)]);
    }
    sections.extend([user_state(status), sso_state(status)]);
    sections.extend(diagnostic_data(status, now));
    sections.extend([prerequisites(status), ours(status)]);
    sections
}

fn device_state(status: &StatusAnswer) -> Section {
    let found = &status.registration;
    let mut fields = vec![
        ("AzureAdJoined", found.azure_ad_joined.to_string()),
        ("EnterpriseJoined", Answered::No.to_string()),
        ("DomainJoined", found.domain_joined.to_string()),
    ];
    fields.extend(some("DomainName", found.domain_name.as_ref()));
    fields.push(("Device Name", found.device_name.clone()));
    Section {
        title: "Device State",
        fields,
    }
}

fn device_details(status: &StatusAnswer) -> Section {
    let found = &status.registration;
    let mut fields = Vec::new();
    fields.extend(some("DeviceId", status.device_id.as_ref()));
    fields.extend(some("Thumbprint", found.thumbprint.as_ref()));
    let validity = found.device_certificate_validity.as_ref();
    fields.extend(some("DeviceCertificateValidity", validity));
    fields.push(("KeyProvider", found.key_provider.clone()));
    fields.push(("TpmProtected", found.tpm_protected.to_string()));
    let auth = status.tests.device_auth_status.as_ref();
    fields.extend(some("DeviceAuthStatus", auth));
    Section {
        title: "Device Details",
        fields,
    }
}

fn tenant_details(status: &StatusAnswer) -> Section {
    let found = &status.registration;
    let named = [
        ("TenantId", &found.tenant_id),
        ("Idp", &status.server),
        ("AuthCodeUrl", &found.auth_code_url),
        ("AccessTokenUrl", &found.access_token_url),
        ("JoinSrvUrl", &found.join_srv_url),
        ("KeySrvUrl", &found.key_srv_url),
    ];
    Section {
        title: "Tenant Details",
        fields: named
            .into_iter()
            .filter_map(|(name, value)| some(name, value.as_ref()))
            .collect(),
    }
}

fn user_state(status: &StatusAnswer) -> Section {
    let own = own(status);
    let mut fields = vec![("NgcSet", status.prerequisites.ngc_set.to_string())];
    if let Some(kid) = &status.registration.ngc_key_id {
        fields.push(("NgcKeyId", format!("{{{}}}", kid.to_uppercase())));
    }
    if let Some(own) = own {
        fields.push(("CanReset", can_reset(own.can_reset).to_owned()));
    }
    fields.push(("WorkplaceJoined", Answered::No.to_string()));
    fields.push(("WamDefaultSet", Answered::No.to_string()));
    Section {
        title: "User State",
        fields,
    }
}

fn sso_state(status: &StatusAnswer) -> Section {
    let primary = &status.primary_token;
    let mut fields = vec![("AzureAdPrt", primary.present.to_string())];
    let updated = primary.updated.map(clock);
    let expires = primary.expires.map(clock);
    fields.extend(some("AzureAdPrtUpdateTime", updated.as_ref()));
    fields.extend(some("AzureAdPrtExpiryTime", expires.as_ref()));
    if primary.present == Answered::Yes {
        fields.extend(some("AzureAdPrtAuthority", status.server.as_ref()));
    }
    if let Some(failure) = &primary.failure {
        fields.push(("AcquirePrtDiagnostics", "PRESENT".to_owned()));
        fields.push(("Attempt Status", failure.code.clone()));
        fields.push(("Server Error Description", failure.sentence.clone()));
    }
    fields.push(("EnterprisePrt", Answered::No.to_string()));
    fields.push(("CloudTgt", Answered::No.to_string()));
    fields.extend(some("KerbTopLevelNames", status.realm.as_ref()));
    Section {
        title: "SSO State",
        fields,
    }
}

fn diagnostic_data(status: &StatusAnswer, now: OffsetDateTime) -> Option<Section> {
    let tests = &status.tests;
    let tried = [
        ("AD Connectivity Test", &tests.ad_connectivity_test),
        ("AD Configuration Test", &tests.ad_configuration_test),
        ("DRS Discovery Test", &tests.drs_discovery_test),
        ("KeySignTest", &tests.key_sign_test),
    ];
    let tried: Vec<_> = tried
        .into_iter()
        .filter_map(|(name, value)| some(name, value.as_ref()))
        .collect();
    if tried.is_empty() {
        return None;
    }
    let mut fields = vec![
        ("User Context", "ELEVATED User".to_owned()),
        ("Client Time", clock(now.unix_timestamp())),
    ];
    fields.extend(tried);
    Some(Section {
        title: "Diagnostic Data",
        fields,
    })
}

fn prerequisites(status: &StatusAnswer) -> Section {
    let found = &status.prerequisites;
    let verdict = match found.pre_req_result {
        PreReqResult::WillProvision => "WillProvision",
        PreReqResult::WillNotProvision => "WillNotProvision",
    };
    Section {
        title: "Ngc Prerequisite Check",
        fields: vec![
            ("IsDeviceJoined", found.is_device_joined.to_string()),
            ("IsUserAzureAD", found.is_user_known.to_string()),
            ("PolicyEnabled", found.policy_enabled.to_string()),
            ("PostLogonEnabled", found.post_logon_enabled.to_string()),
            ("DeviceEligible", found.device_eligible.to_string()),
            (
                "SessionIsNotRemote",
                found.session_is_not_remote.to_string(),
            ),
            ("CertEnrollment", "none".to_owned()),
            ("PreReqResult", verdict.to_owned()),
        ],
    }
}

fn ours(status: &StatusAnswer) -> Section {
    let mut fields = vec![
        ("Key storage", status.key_storage.clone()),
        ("TPM", status.tpm.clone()),
    ];
    for credential in &status.credentials {
        let name = format!("{} (uid {})", credential.upn, credential.uid);
        fields.push(("Credential", name));
        let state = match &credential.detail {
            Some(detail) => format!("{}: {detail}", credential.state),
            None => credential.state.clone(),
        };
        fields.push(("State", state));
        fields.push(("KeyID in AD", credential.key_id.clone()));
        let (left, limit) = (credential.tries_left, credential.tries_limit);
        fields.push(("PIN tries", format!("{left} of {limit} left")));
        if let Some(days) = credential.pin_expires_in_days {
            let due = match days {
                0 => "now".to_owned(),
                1 => "within a day".to_owned(),
                days => format!("within {days} days"),
            };
            fields.push(("PIN change", due));
        }
        fields.push(("PIN reset", can_reset(credential.can_reset).to_owned()));
        let kept = match credential.ticket_until {
            _ if !credential.pin_kept => "asked for the PIN".to_owned(),
            None => "renewed without a question".to_owned(),
            Some(until) => format!("renewed without a question, good until {}", clock(until)),
        };
        fields.push(("Tickets", kept));
    }
    Section {
        title: "Latchkey",
        fields,
    }
}

/// The credential whose owner asks.
fn own(status: &StatusAnswer) -> Option<&CredentialInfo> {
    let kid = status.registration.ngc_key_id.as_ref()?;
    let mut all = status.credentials.iter();
    all.find(|credential| credential.kid.as_ref() == Some(kid))
}

fn can_reset(can: CanReset) -> &'static str {
    match can {
        CanReset::DestructiveOnly => "DestructiveOnly",
        CanReset::NonDestructiveOnly => "NonDestructiveOnly",
        CanReset::DestructiveAndNonDestructive => "DestructiveAndNonDestructive",
        CanReset::Unknown => "Unknown",
    }
}

fn some(name: &'static str, value: Option<&String>) -> Option<(&'static str, String)> {
    Some((name, value?.clone()))
}

/// A time as people of any zone read it.
fn clock(unix: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| unix.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{
        "joined": true, "device_id": "fceee2df-8091-45de-a791-057f1d1abdcc",
        "realm": "CORP.TEST", "server": "https://server.corp.test",
        "key_storage": "hardware", "tpm": "IBM 20.19, counts wrong PINs per user",
        "AzureAdJoined": "YES", "DomainJoined": "YES", "DomainName": "corp.test",
        "DeviceName": "ws1", "Thumbprint": "AB12", "DeviceCertificateValidity": "[ a -- b ]",
        "KeyProvider": "TPM 2.0", "TpmProtected": "YES",
        "TenantId": "f2d3e4a5-0000-4000-8000-000000000000",
        "AuthCodeUrl": null, "AccessTokenUrl": null, "JoinSrvUrl": null, "KeySrvUrl": null,
        "NgcKeyId": "65ed2e11-0000-4000-8000-000000000000",
        "DeviceAuthStatus": "SUCCESS", "KeySignTest": "PASSED",
        "NgcSet": "YES", "IsDeviceJoined": "YES", "IsUserAzureAD": "YES", "PolicyEnabled": "YES",
        "PostLogonEnabled": "YES", "DeviceEligible": "YES", "SessionIsNotRemote": "YES",
        "CertEnrollment": "none", "PreReqResult": "WillNotProvision",
        "AzureAdPrt": "YES", "AzureAdPrtUpdateTime": 1800000000, "AzureAdPrtExpiryTime": 1801209600,
        "credentials": [{
            "uid": 1000, "sid": "S-1-5-21-1-2-3-1104", "upn": "alice@corp.test",
            "kid": "65ed2e11-0000-4000-8000-000000000000", "key_id": "0a0b", "state": "confirmed",
            "detail": null, "tries_left": 9, "tries_limit": 10, "pin_expires_in_days": 1,
            "CanReset": "DestructiveOnly"
        }]
    }"#;

    fn shown(answer: &str) -> String {
        let status: StatusAnswer = serde_json::from_str(answer).unwrap();
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        sections(&status, now).iter().map(drawn).collect()
    }

    #[test]
    fn a_status_is_laid_out_as_administrators_know_it() {
        let text = shown(ANSWER);
        let title = format!(
            "+{0}+\n| {1:<68} |\n+{0}+\n\n",
            "-".repeat(70),
            "Device State"
        );
        assert!(text.starts_with(&title), "{text}");
        for line in [
            "              AzureAdJoined : YES",
            "                   DeviceId : fceee2df-8091-45de-a791-057f1d1abdcc",
            "           DeviceAuthStatus : SUCCESS",
            "                   NgcKeyId : {65ED2E11-0000-4000-8000-000000000000}",
            "                   CanReset : DestructiveOnly",
            "       AzureAdPrtUpdateTime : 2027-01-15T08:00:00Z",
            "                KeySignTest : PASSED",
            "               PreReqResult : WillNotProvision",
            "                  PIN tries : 9 of 10 left",
            "                 PIN change : within a day",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
        let titles: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
            .map(str::trim)
            .collect();
        let expected = [
            "Device State",
            "Device Details",
            "Tenant Details",
            "User State",
            "SSO State",
            "Diagnostic Data",
            "Ngc Prerequisite Check",
            "Latchkey",
        ];
        assert_eq!(titles, expected);
    }

    #[test]
    fn a_machine_that_has_not_joined_has_no_details() {
        let answer = ANSWER
            .replace("\"joined\": true", "\"joined\": false")
            .replace("\"AzureAdJoined\": \"YES\"", "\"AzureAdJoined\": \"NO\"");
        let text = shown(&answer);
        assert!(text.contains("AzureAdJoined : NO"), "{text}");
        assert!(!text.contains("Device Details"), "{text}");
    }
}
