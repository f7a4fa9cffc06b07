//! What logind tells of: sessions that are locked, and a machine that is about to sleep.
//!
//! A PIN is wiped at a lock, and before a sleep: a delay inhibitor of ours holds the sleep up until it is
//! gone. What unlocks brings the PIN anew, so that nothing is done then. Where there is no bus or no
//! logind the daemon goes on without: `latchkey lock` does the same by hand, and a sleep is noticed when
//! the machine wakes.
//!
//! What must hold: only logind's word counts, because the bus says who sent a message, and anybody may send us
//! one; and where it is not clear whose session was locked, everybody's PIN goes.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zbus::{
    Connection, MatchRule, Message, MessageStream,
    fdo::DBusProxy,
    message::Type,
    names::BusName,
    zvariant::{DynamicType, OwnedFd, OwnedObjectPath, OwnedValue, Type as Signed},
};

use crate::daemon::Daemon;

/// Listens for ever, if there is somebody to listen to.
pub(crate) async fn follow(daemon: Arc<Daemon>) {
    let mut said = false;
    loop {
        let outcome = match Connection::system().await {
            Ok(bus) => {
                said = false;
                listen(&bus, &daemon).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = outcome;
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(%error, "logind cannot be heard: a lock wipes no PIN, and a sleep only when it is over");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Listens until the bus ends.
async fn listen(bus: &Connection, daemon: &Arc<Daemon>) -> zbus::Result<Infallible> {
    let mut messages = MessageStream::from(bus);
    let dbus = DBusProxy::new(bus).await?;
    for rule in rules()? {
        dbus.add_match_rule(rule).await?;
    }
    let mut logind = Logind {
        bus: bus.clone(),
        name: owner(&dbus).await?,
        inhibitor: None,
    };
    logind.hold_sleep_up().await;
    while let Some(message) = messages.next().await {
        match logind.word(&message?) {
            None => {}
            // In a task of its own: answers come over the bus that is read here.
            Some(Word::Locked(session)) => {
                let (bus, daemon) = (bus.clone(), Arc::clone(daemon));
                tokio::spawn(async move {
                    let whose = whose(&bus, &session).await;
                    tracing::info!(uid = whose, "a session is locked: its PIN is wiped");
                    daemon.presence.wipe(whose);
                });
            }
            Some(Word::Sleeps) => {
                tracing::info!("the machine is about to sleep: no PIN is kept any more");
                daemon.presence.wipe(None);
                logind.inhibitor = None;
            }
            Some(Word::Wakes) => logind.hold_sleep_up().await,
            Some(Word::Owner(name)) => {
                logind.name = name;
                logind.hold_sleep_up().await;
            }
        }
    }
    Err(zbus::Error::Failure("the bus has ended".to_owned()))
}

/// What a message says.
#[derive(Debug, PartialEq)]
enum Word {
    Locked(OwnedObjectPath),
    Sleeps,
    Wakes,
    /// Who logind is on the bus from now on; nobody, where it has ended.
    Owner(Option<String>),
}

/// logind, as far as it is there.
struct Logind {
    bus: Connection,
    /// Its unique name.
    name: Option<String>,
    /// Dropped, it lets the machine sleep.
    inhibitor: Option<OwnedFd>,
}

impl Logind {
    /// What a message says, if it is of logind, or of the bus about logind.
    fn word(&self, message: &Message) -> Option<Word> {
        let header = message.header();
        let sender = header.sender()?.as_str();
        let (interface, member) = (header.interface()?.as_str(), header.member()?.as_str());
        if (sender, interface, member) == (BUS, BUS, "NameOwnerChanged") {
            let (name, _, new): (String, String, String) = read(message)?;
            let new = Some(new).filter(|new| !new.is_empty());
            return (name == LOGIND).then_some(Word::Owner(new));
        }
        if Some(sender) != self.name.as_deref() {
            return None;
        }
        let session = || Some(Word::Locked(header.path()?.to_owned().into()));
        match (interface, member) {
            (SESSION, "Lock") => session(),
            (PROPERTIES, "PropertiesChanged") => {
                let (of, changed, _): (String, HashMap<String, OwnedValue>, Vec<String>) =
                    read(message)?;
                let is_locked = changed.get("LockedHint")?.downcast_ref::<bool>().ok()?;
                if of == SESSION && is_locked {
                    session()
                } else {
                    None
                }
            }
            (MANAGER, "PrepareForSleep") => Some(match read::<bool>(message)? {
                true => Word::Sleeps,
                false => Word::Wakes,
            }),
            _ => None,
        }
    }

    /// Asks logind to wait for us before it lets the machine sleep.
    async fn hold_sleep_up(&mut self) {
        self.inhibitor = None;
        if self.name.is_none() {
            tracing::warn!(
                "there is no logind: a lock wipes no PIN, and a sleep only when it is over"
            );
            return;
        }
        let why = "PINs that are kept in memory are wiped before the machine sleeps";
        match ask(&self.bus, "Inhibit", &("sleep", "latchkeyd", why, "delay")).await {
            Ok(inhibitor) => self.inhibitor = Some(inhibitor),
            Err(error) => {
                tracing::warn!(%error, "logind does not wait: PINs are wiped when the machine wakes");
            }
        }
    }
}

/// Whose session that is; none where nobody can tell.
async fn whose(bus: &Connection, session: &OwnedObjectPath) -> Option<u32> {
    type Listed = (String, u32, String, String, OwnedObjectPath);
    let listed: Vec<Listed> = match ask(bus, "ListSessions", &()).await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(%error, "logind does not say whose session was locked");
            return None;
        }
    };
    let found = listed.into_iter().find(|(.., path)| path == session);
    found.map(|(_, uid, ..)| uid)
}

/// Asks logind's manager.
async fn ask<T: DeserializeOwned + Signed>(
    bus: &Connection,
    what: &str,
    arguments: &(impl serde::Serialize + DynamicType),
) -> zbus::Result<T> {
    let asked = bus.call_method(Some(LOGIND), PLACE, Some(MANAGER), what, arguments);
    let answer = timeout(PATIENCE, asked).await;
    let answer = answer.map_err(|_| zbus::Error::Failure("logind takes too long".to_owned()))??;
    answer.body().deserialize()
}

/// Who logind is on the bus.
async fn owner(dbus: &DBusProxy<'_>) -> zbus::Result<Option<String>> {
    match dbus.get_name_owner(BusName::try_from(LOGIND)?).await {
        Ok(name) => Ok(Some(name.to_string())),
        Err(zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read<T: DeserializeOwned + Signed>(message: &Message) -> Option<T> {
    message.body().deserialize().ok()
}

/// What the bus is to send.
fn rules() -> zbus::Result<[MatchRule<'static>; 4]> {
    let of = |sender| MatchRule::builder().msg_type(Type::Signal).sender(sender);
    let sessions = "/org/freedesktop/login1/session";
    Ok([
        of(LOGIND)?.interface(SESSION)?.member("Lock")?.build(),
        of(LOGIND)?
            .interface(PROPERTIES)?
            .path_namespace(sessions)?
            .arg(0, SESSION)?
            .build(),
        of(LOGIND)?
            .interface(MANAGER)?
            .member("PrepareForSleep")?
            .build(),
        of(BUS)?.member("NameOwnerChanged")?.arg(0, LOGIND)?.build(),
    ])
}

const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const LOGIND: &str = "org.freedesktop.login1";
const PLACE: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";

/// How long logind may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries to reach the bus.
const RETRY_PAUSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
