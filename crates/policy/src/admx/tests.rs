use super::*;

const ADMX: &str = include_str!("../../../../packaging/policy-definitions/Latchkey.admx");
const ADML: &str = include_str!("../../../../packaging/policy-definitions/en-US/Latchkey.adml");

/// A template in the shape of the one that Windows brings, with texts of our own.
const OTHER: &str = r#"<?xml version="1.0" encoding="utf-16"?>
<policyDefinitions revision="1.0" schemaVersion="1.0"
    xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions">
  <policyNamespaces>
    <target prefix="x" namespace="Microsoft.Policies.MicrosoftPassportForWork"/>
    <using prefix="windows" namespace="Microsoft.Policies.Windows"/>
  </policyNamespaces>
  <policies>
    <!-- with an element -->
    <policy name="Enable" class="Both" displayName="$(string.Enable)" valueName="Enabled"
        key="Software\Policies\Microsoft\PassportForWork">
      <enabledValue><decimal value="1"/></enabledValue>
      <disabledValue><decimal value="0"/></disabledValue>
      <elements>
        <boolean id="b" valueName="DisablePostLogonProvisioning">
          <trueValue><decimal value="1"/></trueValue>
          <falseValue><decimal value="0"/></falseValue>
        </boolean>
      </elements>
    </policy>
    <policy name="Hardware" class="Both" displayName="$(string.Missing)"
        valueName="RequireSecurityDevice" key="Software\Policies\Microsoft\PassportForWork">
      <enabledValue><decimal value="1"/></enabledValue>
      <disabledValue><delete/></disabledValue>
      <elements>
        <boolean id="t" key="Software\Policies\Microsoft\PassportForWork\ExcludeSecurityDevices"
            valueName="TPM12">
          <trueValue><decimal value="1"/></trueValue>
          <falseValue><decimal value="0"/></falseValue>
        </boolean>
        <list id="l" valueName="Brand new"/>
      </elements>
    </policy>
    <policy name="Digits" class="Machine" valueName="Digits"
        key="Software\Policies\Microsoft\PassportForWork\PINComplexity">
      <enabledValue><decimal value="1"/></enabledValue>
      <disabledValue><decimal value="2"/></disabledValue>
    </policy>
    <policy name="Length" class="Machine"
        key="Software\Policies\Microsoft\PassportForWork\PINComplexity">
      <elements><decimal id="d" valueName="MinimumPINLength" minValue="6" maxValue="127"/></elements>
    </policy>
  </policies>
</policyDefinitions>"#;

const OTHER_TEXTS: &str = r#"<policyDefinitionResources><resources><stringTable>
    <string id="Enable">Sign in &amp; be glad</string>
</stringTable></resources></policyDefinitionResources>"#;

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let marked = format!("\u{feff}{text}");
    marked.encode_utf16().flat_map(unit).collect()
}

#[test]
fn the_template_of_this_project_agrees_with_the_table() {
    let template = read(ADMX.as_bytes(), Some(ADML.as_bytes())).unwrap();
    assert_eq!(template.namespace, "Latchkey.Policies");
    assert_eq!(template.differences(), Vec::<String>::new());
    assert_eq!(template.policies.len(), 6);
    for policy in &template.policies {
        let setting = SETTINGS
            .iter()
            .find(|s| s.admx == Some(policy.name.as_str()))
            .unwrap();
        assert_eq!(policy.display_name.as_deref(), Some(setting.name));
    }
}

#[test]
fn differences_from_the_table_are_told_one_by_one() {
    let template = read(OTHER.as_bytes(), Some(OTHER_TEXTS.as_bytes())).unwrap();
    assert_eq!(
        template.policies[0].display_name.as_deref(),
        Some("Sign in & be glad")
    );
    assert_eq!(template.policies[1].display_name, None);
    let differences = template.differences();
    let (lacking, others): (Vec<_>, Vec<_>) = differences
        .iter()
        .partition(|text| text.starts_with("The template lacks"));
    assert_eq!(
        others,
        [
            "Hardware is of class Both, but require-security-device is of class Machine.",
            "Hardware writes Switch { on: 1, off: None } to RequireSecurityDevice, but \
             require-security-device may be: on or off.",
            "Hardware is of class Both, but exclude-tpm12 is of class Machine.",
            "Hardware writes Software\\Policies\\Microsoft\\PassportForWork\\Brand new, which is no \
             setting here.",
            "Length writes Number { min: 6, max: 127 } to MinimumPINLength, but min-pin-length may \
             be: 4 to 127.",
        ]
    );
    // Of the 24 values of the table's policies of Windows, six are in this template.
    assert_eq!(lacking.len(), 18, "{lacking:?}");
}

#[test]
fn every_encoding_that_occurs_is_read() {
    let expected = read(OTHER.as_bytes(), None).unwrap();
    let unmarked: Vec<u8> = OTHER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [
        format!("\u{feff}{OTHER}").into_bytes(),
        utf16(OTHER, u16::to_le_bytes),
        utf16(OTHER, u16::to_be_bytes),
        unmarked,
    ] {
        assert_eq!(read(&bytes, None).unwrap(), expected);
    }
}

#[test]
fn what_is_no_template_is_refused_with_the_reason() {
    let odd = [utf16(OTHER, u16::to_le_bytes), vec![0]].concat();
    let nameless = OTHER.replace(" name=\"Digits\"", "");
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>"#;
    let large = vec![b' '; MAX + 1];
    let deep = "<a>".repeat(MAX / 3);
    for (bytes, reason) in [
        (&b""[..], "not XML"),
        (&b"\xff\xff"[..], "neither"),
        (&odd[..], "neither"),
        (OTHER_TEXTS.as_bytes(), "no policyDefinitions"),
        (bomb.as_bytes(), "not XML"),
        (nameless.as_bytes(), "no name of a policy"),
        (&large[..], "larger than"),
        (deep.as_bytes(), "not XML"),
    ] {
        let error = read(bytes, None).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(read(OTHER.as_bytes(), Some(ADMX.as_bytes())).is_err());
}
