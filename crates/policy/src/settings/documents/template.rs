//! `packaging/policy-definitions/Latchkey.admx` and its language file.

use super::super::{Class, Kind, SETTINGS, Setting};

/// The policy's name, if the setting is one of Latchkey's own.
pub(super) fn own(setting: &Setting) -> Option<&'static str> {
    setting
        .admx
        .filter(|policy| policy.starts_with("Latchkey_"))
}

fn policies() -> impl Iterator<Item = (&'static str, &'static Setting)> {
    SETTINGS
        .iter()
        .filter_map(|setting| Some((own(setting)?, setting)))
}

/// The template.
pub(super) fn admx() -> String {
    let policies: String = policies()
        .map(|(name, setting)| policy(name, setting))
        .collect();
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<policyDefinitions xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions" revision="1.0" schemaVersion="1.0">
  <policyNamespaces>
    <target prefix="latchkey" namespace="Latchkey.Policies" />
  </policyNamespaces>
  <resources minRequiredRevision="1.0" />
  <supportedOn>
    <definitions>
      <definition name="Latchkey_Linux" displayName="$(string.Latchkey_Linux)" />
    </definitions>
  </supportedOn>
  <categories>
    <category name="Latchkey" displayName="$(string.Latchkey)" />
  </categories>
  <policies>
{policies}  </policies>
</policyDefinitions>
"#
    )
}

fn policy(name: &str, setting: &Setting) -> String {
    let gpo = setting.gpo.unwrap();
    let class = match gpo.class {
        Class::Both => "Both",
        Class::Machine => "Machine",
    };
    let (key, value) = (gpo.key, gpo.value);
    let texts = format!(
        r#"displayName="$(string.{name})" explainText="$(string.{name}_Help)" key="{key}""#
    );
    let place = "      <parentCategory ref=\"Latchkey\" />\n      \
                 <supportedOn ref=\"Latchkey_Linux\" />\n";
    let presentation = format!(r#"presentation="$(presentation.{name})""#);
    match setting.kind {
        Kind::Switch => format!(
            r#"    <policy name="{name}" class="{class}" {texts} valueName="{value}">
{place}      <enabledValue><decimal value="1" /></enabledValue>
      <disabledValue><decimal value="0" /></disabledValue>
    </policy>
"#
        ),
        Kind::Number { min, max } => format!(
            r#"    <policy name="{name}" class="{class}" {texts} {presentation}>
{place}      <elements>
        <decimal id="{name}_Value" valueName="{value}" required="true" minValue="{min}" maxValue="{max}" />
      </elements>
    </policy>
"#
        ),
        Kind::Choice(choices) => {
            let items: String = choices
                .iter()
                .map(|(code, _)| {
                    format!(
                        "          <item displayName=\"$(string.{name}_{code})\"><value>\
                         <decimal value=\"{code}\" /></value></item>\n"
                    )
                })
                .collect();
            format!(
                r#"    <policy name="{name}" class="{class}" {texts} {presentation}>
{place}      <elements>
        <enum id="{name}_Value" valueName="{value}" required="true">
{items}        </enum>
      </elements>
    </policy>
"#
            )
        }
        Kind::Text => unreachable!("no setting of Latchkey's own is a text"),
    }
}

/// The English texts.
pub(super) fn adml() -> String {
    let mut strings = vec![
        ("Latchkey".to_owned(), "Latchkey".to_owned()),
        (
            "Latchkey_Linux".to_owned(),
            "Linux with Latchkey".to_owned(),
        ),
    ];
    let mut presentations = String::new();
    for (name, setting) in policies() {
        let help = format!("{} Not configured: {}.", setting.meaning, setting.default);
        strings.push((name.to_owned(), setting.name.to_owned()));
        strings.push((format!("{name}_Help"), help));
        let label = escape(setting.name);
        let default = setting.csp.unwrap().default;
        let control = match setting.kind {
            Kind::Number { .. } => format!(
                r#"<decimalTextBox refId="{name}_Value" defaultValue="{default}">{label}</decimalTextBox>"#
            ),
            Kind::Choice(choices) => {
                let named = |(code, text): &(u32, &str)| (format!("{name}_{code}"), (*text).into());
                strings.extend(choices.iter().map(named));
                format!(
                    r#"<dropdownList refId="{name}_Value" noSort="true" defaultItem="{default}">{label}</dropdownList>"#
                )
            }
            Kind::Switch | Kind::Text => continue,
        };
        presentations.push_str(&format!(
            "      <presentation id=\"{name}\">\n        {control}\n      </presentation>\n"
        ));
    }
    let strings: String = strings
        .iter()
        .map(|(id, text)| format!("      <string id=\"{id}\">{}</string>\n", escape(text)))
        .collect();
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<policyDefinitionResources xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions" revision="1.0" schemaVersion="1.0">
  <displayName>Latchkey</displayName>
  <description>Settings of Latchkey that Windows does not know.</description>
  <resources>
    <stringTable>
{strings}    </stringTable>
    <presentationTable>
{presentations}    </presentationTable>
  </resources>
</policyDefinitionResources>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
