//! `latchkey events`: what happened on this machine, as its daemon wrote it down.

use std::fmt::Write as _;

use anyhow::Context as _;
use ipc::EventsShow;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use crate::{
    arguments,
    daemon::{self, QUICK},
    output::Output,
};

#[derive(Serialize)]
struct Shown {
    events: Vec<Box<RawValue>>,
}

pub(crate) fn show(which: &arguments::Events, output: &Output) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    let since = which.since.as_deref().map(|since| begin(since, now));
    let mut request = EventsShow {
        id: which.id,
        since: since.transpose()?.map(OffsetDateTime::unix_timestamp),
        after: 0,
    };
    let mut shown = Shown { events: Vec::new() };
    loop {
        let answer = daemon::ask(&request, QUICK)?;
        shown.events.extend(answer.events);
        match answer.next {
            Some(next) => request.after = next,
            None => break,
        }
    }
    output.result(&shown, || {
        let events = shown.events.iter();
        let told: String = events.filter_map(|event| describe(event.get())).collect();
        if told.is_empty() {
            "Nothing of that kind happened.".to_owned()
        } else {
            told
        }
    })
}

/// A time, or how long ago: `2h`, `90m`, `3d`.
fn begin(text: &str, now: OffsetDateTime) -> anyhow::Result<OffsetDateTime> {
    let ago = text.char_indices().next_back().and_then(|(end, unit)| {
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let count: i64 = text.get(..end)?.parse().ok().filter(|count| *count >= 0)?;
        now.checked_sub(time::Duration::seconds(count.checked_mul(seconds)?))
    });
    if let Some(begin) = ago {
        return Ok(begin);
    }
    let full = if text.len() == "2026-01-31".len() {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    OffsetDateTime::parse(&full, &Rfc3339).with_context(|| {
        format!("{text} is no time: write 2h, 3d, 2026-01-31 or 2026-01-31T08:00:00Z")
    })
}

/// A line about the event, and one for each of its fields.
fn describe(event: &str) -> Option<String> {
    let Fields(fields) = serde_json::from_str(event).ok()?;
    let value = |name: &str| Some(&fields.iter().find(|(found, _)| found == name)?.1);
    let text = |name: &str| value(name).map(words);
    let time = OffsetDateTime::from_unix_timestamp(value("time")?.as_i64()?).ok()?;
    let time = time.to_offset(UtcOffset::UTC).format(&Rfc3339).ok()?;
    let user = text("user")
        .map(|user| format!("{user}: "))
        .unwrap_or_default();
    let (id, level, message) = (text("event")?, text("level")?, text("message")?);
    let mut told = format!("{time} {id:>4} {level:<7} {user}{message}\n");
    const SHOWN: &[&str] = &[
        "seq", "time", "event", "level", "uid", "user", "sid", "message",
    ];
    for (name, value) in &fields {
        if !SHOWN.contains(&name.as_str()) {
            // Writing to a string cannot fail.
            let _ = writeln!(told, "    {name}: {}", words(value));
        }
    }
    Some(told)
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The fields of an object in their order.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_time_or_how_long_ago() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        for (text, expected) in [
            ("90s", 1_799_999_910),
            ("2h", 1_799_992_800),
            ("3d", 1_799_740_800),
            ("2026-11-28", 1_795_824_000),
            ("2026-11-28T01:00:00+01:00", 1_795_824_000),
        ] {
            assert_eq!(
                begin(text, now).unwrap().unix_timestamp(),
                expected,
                "{text}"
            );
        }
        for wrong in [
            "",
            "2",
            "h",
            "-2h",
            "2w",
            "99999999999999999d",
            "yesterday",
            "2026-13-01",
        ] {
            assert!(begin(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_is_told_with_its_fields() {
        let event = r#"{"seq":7,"time":1800000000,"event":352,"level":"info","uid":1000,
            "user":"alice","sid":"S-1-5-21-1-2-3-1104","message":"Removed.","KeyID":"{ab}","Attestation":"none"}"#;
        let expected = "2027-01-15T08:00:00Z  352 info    alice: Removed.\n    KeyID: {ab}\n    \
                        Attestation: none\n";
        assert_eq!(describe(event).as_deref(), Some(expected));
        assert_eq!(describe("{}"), None);
    }
}
