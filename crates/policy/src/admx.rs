//! Administrative templates, as an administrator has them in the central store.
//!
//! Read for one purpose: to hold a template against the table of settings and to say where they
//! differ, since a newer Windows may bring a newer template. Nothing of a template's text is kept in
//! this project; display names are looked up in the language file that lies beside it.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use crate::settings::{self, Class, Kind, SETTINGS, Setting};

/// No template is near this size; it bounds what a file can make the reader do.
pub const MAX: usize = 8 << 20;

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its own namespace.
    pub namespace: String,
    /// Its policies, in its order.
    pub policies: Vec<Policy>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The name that the editor shows, from the language file.
    pub display_name: Option<String>,
    /// `Machine`, `User` or `Both`, as it stands there.
    pub class: String,
    /// The values that it writes.
    pub values: Vec<PolicyValue>,
}

/// A value that a policy writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyValue {
    /// The key, without the hive.
    pub key: String,
    /// The value's name.
    pub value: String,
    /// What is written.
    pub data: PolicyData,
}

/// What a policy writes to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyData {
    /// One of two numbers: when enabled or ticked, and when disabled or not ticked. The second is
    /// nothing where the value is removed instead.
    Switch {
        /// When on.
        on: u32,
        /// When off.
        off: Option<u32>,
    },
    /// A number from `min` to `max`.
    Number {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// One of these numbers.
    Choice(Vec<u32>),
    /// Text.
    Text,
    /// Something that no setting here needs, named as the template names it.
    Other(String),
}

/// Why a file is no template.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than any template.
    #[error("the file is larger than {MAX} bytes")]
    TooLarge,
    /// It is neither UTF-8 nor UTF-16.
    #[error("the file is neither UTF-8 nor UTF-16")]
    NotText,
    /// It is not XML.
    #[error("the file is not XML")]
    NotXml(#[source] roxmltree::Error),
    /// It is XML of another kind.
    #[error("the file has no {0}")]
    NotATemplate(&'static str),
}

/// Reads a template, with its language file if there is one.
pub fn read(admx: &[u8], adml: Option<&[u8]>) -> Result<Template, Error> {
    let strings = adml.map(strings).transpose()?.unwrap_or_default();
    let text = decode(admx)?;
    let document = Document::parse(&text).map_err(Error::NotXml)?;
    let root = document.root_element();
    if root.tag_name().name() != "policyDefinitions" {
        return Err(Error::NotATemplate("policyDefinitions"));
    }
    let target = child(root, "policyNamespaces").and_then(|names| child(names, "target"));
    let namespace = target
        .and_then(|target| target.attribute("namespace"))
        .ok_or(Error::NotATemplate("namespace"))?
        .to_owned();
    let policies = children(root, "policies").flat_map(|list| children(list, "policy"));
    let policies = policies
        .map(|policy| read_policy(policy, &strings))
        .collect::<Result<_, _>>()?;
    Ok(Template {
        namespace,
        policies,
    })
}

impl Template {
    /// Where the template and the table of settings differ, in sentences. What only one of them has
    /// is named too, as far as the table has settings from the template's namespace.
    pub fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for policy in &self.policies {
            for value in &policy.values {
                let Some(setting) = settings::by_registry(&value.key, &value.value) else {
                    differences.push(format!(
                        "{} writes {}\\{}, which is no setting here.",
                        policy.name, value.key, value.value
                    ));
                    continue;
                };
                let class = setting.gpo.map(|gpo| match gpo.class {
                    Class::Both => "Both",
                    Class::Machine => "Machine",
                });
                if class != Some(policy.class.as_str()) {
                    differences.push(format!(
                        "{} is of class {}, but {} is of class {}.",
                        policy.name,
                        policy.class,
                        setting.id,
                        class.unwrap_or("none")
                    ));
                }
                if !value.data.fits(setting) {
                    differences.push(format!(
                        "{} writes {:?} to {}, but {} may be: {}.",
                        policy.name,
                        value.data,
                        value.value,
                        setting.id,
                        setting.range()
                    ));
                }
            }
        }
        let wanted = SETTINGS
            .iter()
            .filter(|setting| setting.admx.map(namespace) == Some(self.namespace.as_str()));
        for setting in wanted {
            let Some(gpo) = setting.gpo else { continue };
            let mut values = self.policies.iter().flat_map(|policy| &policy.values);
            let there = values.any(|value| {
                value.key.eq_ignore_ascii_case(gpo.key)
                    && value.value.eq_ignore_ascii_case(gpo.value)
            });
            if !there {
                differences.push(format!(
                    "The template lacks {} ({}).",
                    setting.id, gpo.value
                ));
            }
        }
        differences
    }
}

impl PolicyData {
    fn fits(&self, setting: &Setting) -> bool {
        match (self, setting.kind) {
            (
                Self::Switch {
                    on: 1,
                    off: Some(0),
                },
                Kind::Switch,
            )
            | (Self::Text, Kind::Text) => true,
            // Enabled and disabled stand for two of the choices, the third is the absent value.
            (Self::Switch { on, off: Some(off) }, Kind::Choice(choices)) => [on, off]
                .iter()
                .all(|number| choices.iter().any(|(code, _)| code == *number)),
            (
                Self::Number { min, max },
                Kind::Number {
                    min: least,
                    max: most,
                },
            ) => (*min, *max) == (least, most),
            (Self::Choice(numbers), Kind::Choice(choices)) => {
                choices.iter().map(|(code, _)| code).eq(numbers)
            }
            _ => false,
        }
    }
}

/// The namespace of the template that a policy of the table is in.
fn namespace(policy: &str) -> &'static str {
    if policy.starts_with("Latchkey_") {
        "Latchkey.Policies"
    } else {
        "Microsoft.Policies.MicrosoftPassportForWork"
    }
}

fn read_policy(node: Node<'_, '_>, strings: &BTreeMap<String, String>) -> Result<Policy, Error> {
    let name = node
        .attribute("name")
        .ok_or(Error::NotATemplate("name of a policy"))?;
    let key = node
        .attribute("key")
        .ok_or(Error::NotATemplate("key of a policy"))?;
    let display_name = node
        .attribute("displayName")
        .and_then(|text| text.strip_prefix("$(string.")?.strip_suffix(')'))
        .and_then(|id| strings.get(id).cloned());
    let mut values = Vec::new();
    if let Some(value) = node.attribute("valueName") {
        values.push(PolicyValue {
            key: key.to_owned(),
            value: value.to_owned(),
            data: PolicyData::Switch {
                on: decimal(node, "enabledValue").unwrap_or(1),
                off: decimal(node, "disabledValue"),
            },
        });
    }
    let elements = children(node, "elements").flat_map(|list| list.children());
    for element in elements.filter(Node::is_element) {
        values.push(PolicyValue {
            key: element.attribute("key").unwrap_or(key).to_owned(),
            value: element
                .attribute("valueName")
                .unwrap_or_default()
                .to_owned(),
            data: element_data(element),
        });
    }
    Ok(Policy {
        name: name.to_owned(),
        display_name,
        class: node.attribute("class").unwrap_or_default().to_owned(),
        values,
    })
}

fn element_data(element: Node<'_, '_>) -> PolicyData {
    let limit = |name| {
        element
            .attribute(name)
            .and_then(|number| number.parse().ok())
    };
    match element.tag_name().name() {
        "boolean" => PolicyData::Switch {
            on: decimal(element, "trueValue").unwrap_or(1),
            off: decimal(element, "falseValue"),
        },
        // What a number may be where the template does not say.
        "decimal" => PolicyData::Number {
            min: limit("minValue").unwrap_or(0),
            max: limit("maxValue").unwrap_or(9999),
        },
        "enum" => PolicyData::Choice(
            children(element, "item")
                .filter_map(|item| decimal(item, "value"))
                .collect(),
        ),
        "text" => PolicyData::Text,
        other => PolicyData::Other(other.to_owned()),
    }
}

/// The number in `<name><decimal value="…"/></name>` below a node.
fn decimal(node: Node<'_, '_>, name: &str) -> Option<u32> {
    child(child(node, name)?, "decimal")?
        .attribute("value")?
        .parse()
        .ok()
}

fn strings(adml: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    let text = decode(adml)?;
    let document = Document::parse(&text).map_err(Error::NotXml)?;
    let root = document.root_element();
    if root.tag_name().name() != "policyDefinitionResources" {
        return Err(Error::NotATemplate("policyDefinitionResources"));
    }
    let tables = children(root, "resources").flat_map(|list| children(list, "stringTable"));
    let strings = tables.flat_map(|table| children(table, "string"));
    Ok(strings
        .filter_map(|string| {
            let text = string.text().unwrap_or_default();
            Some((string.attribute("id")?.to_owned(), text.to_owned()))
        })
        .collect())
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.tag_name().name() == name)
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    children(node, name).next()
}

/// Templates are UTF-8 or UTF-16, with a byte order mark or without.
fn decode(bytes: &[u8]) -> Result<String, Error> {
    if bytes.len() > MAX {
        return Err(Error::TooLarge);
    }
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
        let text: Result<String, _> = text.collect();
        text.ok().filter(|_| rest.is_empty()).ok_or(Error::NotText)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [b'<', 0, ..] => wide(bytes, u16::from_le_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::NotText)
}

#[cfg(test)]
mod tests;
