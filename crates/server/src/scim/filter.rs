//! Filters of lists (RFC 7644 3.4.2.2): equality, which is what provisioners look resources up by.

/// `attribute eq "value"`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Equals {
    /// In lower case: names of attributes have no case.
    pub(super) attribute: String,
    pub(super) value: String,
}

/// Reads a filter; `None` where it is more than an equality.
pub(super) fn read(text: &str) -> Option<Equals> {
    let (attribute, rest) = text.trim().split_once(' ')?;
    let (operator, value) = rest.trim_start().split_once(' ')?;
    let value = value.trim();
    let is_name = attribute
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ":._".contains(c));
    if !operator.eq_ignore_ascii_case("eq") || !is_name || !value.starts_with('"') {
        return None;
    }
    // A JSON string (RFC 7159), and nothing after it.
    let value: String = serde_json::from_str(value).ok()?;
    Some(Equals {
        attribute: attribute.to_ascii_lowercase(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equality_is_read_and_nothing_else() {
        for (text, attribute, value) in [
            (
                "userName eq \"alice@corp.example\"",
                "username",
                "alice@corp.example",
            ),
            (
                "  EXTERNALID  Eq  \"a \\\"b\\\"\" ",
                "externalid",
                "a \"b\"",
            ),
        ] {
            let expected = Equals {
                attribute: attribute.to_owned(),
                value: value.to_owned(),
            };
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "userName",
            "userName eq",
            "userName eq alice",
            "userName co \"a\"",
            "userName eq \"a\" or active eq true",
            "userName eq \"a",
            "active eq true",
            "emails[type eq \"work\"] eq \"a\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
