//! The device's own record of what happened, for administrators who ask later.
//!
//! Events have the numbers, levels and order of fields by which administrators know them from the logs
//! of User Device Registration and Hello for Business; the texts are ours. Each goes to the journal as a
//! structured entry, where there is one, and into `events.jsonl` in the daemon's folder, one JSON object a
//! line, the newest last. When that is full it becomes `events.old.jsonl`, whose place it takes; so the two
//! never grow beyond a bound.

mod journal;
mod kinds;
mod record;

use std::path::Path;

use ipc::Failure;
use model::{Sid, UnixTime};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::{credential::Credential, daemon::now, text};
pub(crate) use kinds::Id;
use record::Record;
pub(crate) use record::show;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    id: Id,
    who: Option<Who>,
    fields: Vec<(&'static str, String)>,
}

/// To whom it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Who {
    uid: u32,
    user: String,
    /// None for an account of the machine's own.
    sid: Option<String>,
}

impl Event {
    pub(crate) fn new(id: Id) -> Self {
        Self {
            id,
            who: None,
            fields: Vec::new(),
        }
    }

    /// It concerns that person.
    pub(crate) fn of(mut self, uid: u32, user: &str, sid: Option<&Sid>) -> Self {
        self.who = Some(Who {
            uid,
            user: user.to_owned(),
            sid: sid.map(Sid::to_string),
        });
        self
    }

    /// It concerns a credential, whose key and account are its first fields.
    pub(crate) fn about(id: Id, credential: &Credential) -> Self {
        let key_id = credential.public_key().map(|key| text::hex(&key.key_id()));
        Self::new(id)
            .of(credential.uid, &credential.upn, Some(&credential.sid))
            .with("KeyID", key_id.unwrap_or_default())
            .with("UPN", &credential.upn)
    }

    /// It went wrong.
    pub(crate) fn because(self, failure: &Failure) -> Self {
        self.with("ErrorCode", &failure.code)
            .with("Message", &failure.sentence)
    }

    /// The next field.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// The text of the event, a line for each of its fields after it.
    fn message(&self) -> String {
        let mut text = self.id.text().to_owned();
        for (name, value) in &self.fields {
            text.push_str(&format!("\n{name}: {value}"));
        }
        text
    }
}

/// As it is kept.
struct Kept<'a> {
    seq: u64,
    time: UnixTime,
    event: &'a Event,
}

impl Serialize for Kept<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Event { id, who, fields } = self.event;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("event", &id.number())?;
        map.serialize_entry("level", id.level().word())?;
        if let Some(who) = who {
            map.serialize_entry("uid", &who.uid)?;
            map.serialize_entry("user", &who.user)?;
            if let Some(sid) = &who.sid {
                map.serialize_entry("sid", sid)?;
            }
        }
        map.serialize_entry("message", id.text())?;
        for (name, value) in fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Where events go.
pub(crate) struct Events {
    record: Record,
}

impl Events {
    /// With a record in the daemon's folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            record: Record::in_folder(folder),
        }
    }

    /// Writes it everywhere. Nothing that happened fails because it could not be written down.
    pub(crate) fn tell(&self, event: &Event) {
        if journal::send(journal::SOCKET.as_ref(), event).is_err() {
            log(event);
        }
        if let Err(error) = self.record.keep(now(), event) {
            tracing::warn!(%error, event = event.id.number(), "an event could not be kept");
        }
    }
}

/// Where there is no journal, the daemon's own log has it.
fn log(event: &Event) {
    let (id, text) = (event.id.number(), event.id.text());
    let (uid, user) = event.who.as_ref().map(|who| (who.uid, &*who.user)).unzip();
    let fields = event.fields.iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let fields = fields.join(", ");
    match event.id.level() {
        kinds::Level::Info => tracing::info!(event = id, uid, user, fields, "{text}"),
        kinds::Level::Warning => tracing::warn!(event = id, uid, user, fields, "{text}"),
        kinds::Level::Error => tracing::error!(event = id, uid, user, fields, "{text}"),
    }
}
