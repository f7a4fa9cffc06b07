//! `docs/reference/policies.md`.

use std::fmt::Write;

use super::super::{
    AccountProtection, Class, Effect, Format, Kind, SETTINGS, Scope, Setting, Stricter,
};

const INTRODUCTION: &str = "\
# Settings

This page is written from the table in `crates/policy/src/settings/table.rs`. Change the table, then \
run `UPDATE_EXPECT=1 cargo test -p policy`.

## Which source wins

For each setting the strongest source that sets it counts:

1. group policy, user half
2. group policy, computer half
3. a server's policy for the user
4. a server's policy for the device
5. the server's tenant-wide configuration

Where a group policy object in effect configures `use-hello` or `enable-on-linux`, everything that the \
server says is ignored, and the report says so. A setting of the computer that stands in the user half \
of a group policy object does nothing, and the report says so. Of two policies of the server that set \
a node differently the stricter one counts, where one is stricter; each setting says so below. \
`latchkey policy explain SETTING` shows who won, who lost and why.

## Where the sources of Windows contradict each other

| question | here |
| --- | --- |
| shortest PIN when unset | 6; policy may go down to 4 |
| minimum length not below the maximum | both as if unset |
| no class of characters required | digits only, unless digits are forbidden |
| every class forbidden | digits only |
| a class unset or allowed, another one required | allowed |
| PINs of digits in equal steps | always refused |
| biometrics when unset | may be offered |
| TPM when unset | preferred, software where there is none |
| purpose of a domain controller's certificate | KDC demanded of every kind of join; `require-kdc-eku` |
| certificate trust on | nobody enrolls, event 362 |
| cloud trust on | key trust all the same, with a warning |
| policy taken away, or out of the group | not offered to anybody new; who has a PIN keeps it |
| `use-hello` off | nobody enrolls, no sign-in with the PIN, the key is removed |
| group policy and a server | the server is ignored as a whole where group policy configures `use-hello` |

";

/// The page.
pub(super) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "## All settings\n\n| setting | may be | unset | here |\n| --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let (id, range, default) = (setting.id, setting.range(), setting.default);
        let effect = effect(setting);
        writeln!(page, "| [`{id}`](#{id}) | {range} | {default} | {effect} |").unwrap();
    }
    for setting in SETTINGS {
        page.push_str(&section(setting));
    }
    page
}

fn section(setting: &Setting) -> String {
    let mut lines = vec![
        format!("\n### {}\n", setting.id),
        format!("**{}.** {}\n", setting.name, setting.meaning),
        format!(
            "- It may be: {}. Unset: {}.",
            setting.range(),
            setting.default
        ),
        format!("- Here: {}.", effect(setting)),
    ];
    if let Some(gpo) = setting.gpo {
        let kind = match setting.kind {
            Kind::Text => "REG_SZ",
            _ => "REG_DWORD",
        };
        let half = match gpo.class {
            Class::Both => "both halves",
            Class::Machine => "computer half only",
        };
        let policy = setting
            .admx
            .map(|p| format!(", policy `{p}`"))
            .unwrap_or_default();
        let (key, value) = (gpo.key, gpo.value);
        lines.push(format!(
            "- Group policy, {half}: `{key}`, `{value}` ({kind}){policy}."
        ));
    }
    if let Some(csp) = setting.csp {
        let format = match csp.format {
            Format::Bool => "bool",
            Format::Int => "int",
            Format::Chr => "chr",
        };
        for scope in [Scope::Device, Scope::User] {
            let (Some(uri), Some(id)) = (setting.loc_uri(scope), setting.graph_id(scope)) else {
                continue;
            };
            lines.push(format!("- Server: `{uri}` ({format}), definition `{id}`."));
        }
        if !csp.default.is_empty() {
            lines.push(format!(
                "- The node declares the default `{}`.",
                csp.default
            ));
        }
        let options: Vec<_> = setting
            .graph_options(Scope::Device)
            .iter()
            .filter_map(|(id, value)| {
                let suffix = id.rsplit('_').next()?;
                Some(format!("`_{suffix}` = {value}"))
            })
            .collect();
        if !options.is_empty() {
            lines.push(format!(
                "- Options of the definition: {}.",
                options.join(", ")
            ));
        }
    }
    if let Some(tenant) = setting.tenant {
        lines.push(format!(
            "- Tenant-wide configuration: `{}`, at first `{}`.",
            tenant.property, tenant.default
        ));
    }
    match setting.account_protection {
        AccountProtection::No => {}
        AccountProtection::Device => {
            lines.push("- Account protection profile: for devices.".to_owned());
        }
        AccountProtection::DeviceAndUser => {
            lines.push("- Account protection profile: for devices and for users.".to_owned());
        }
    }
    let stricter = match setting.stricter {
        Stricter::Neither => "neither counts, and the node keeps what they last agreed upon",
        Stricter::Greater if setting.kind == Kind::Switch => "on counts",
        Stricter::Greater => "the greater value counts",
        Stricter::Smaller if setting.kind == Kind::Switch => "off counts",
        Stricter::Smaller => "the smaller value counts",
        Stricter::SmallerButZero => "the smaller value that is not 0 counts",
        Stricter::Characters => {
            "allowed gives way; required and forbidden leave the node without a value"
        }
    };
    if setting.csp.is_some() {
        lines.push(format!(
            "- Two policies of a server that differ: {stricter}."
        ));
    }
    lines.join("\n") + "\n"
}

fn effect(setting: &Setting) -> &'static str {
    match setting.effect {
        Effect::Acts if setting.pending => "merged and reported; this version does not act on it",
        Effect::Acts => "Latchkey acts on it",
        Effect::NotOnLinux => "reported as not applicable on Linux",
        Effect::Refused => "refused: nobody enrolls while it is on",
    }
}
