//! The journal's own protocol (systemd, JOURNAL_NATIVE_PROTOCOL): one datagram an entry, a line for each
//! field; a value of several lines comes after its length.

use std::{io, os::unix::net::UnixDatagram, path::Path};

use super::Event;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends an event. It does not wait for a journal that is busy.
pub(super) fn send(socket: &Path, event: &Event) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to(&entry(event), socket)?;
    Ok(())
}

fn entry(event: &Event) -> Vec<u8> {
    let mut entry = Vec::new();
    field(&mut entry, "MESSAGE", &event.message());
    let priority = event.id.level().priority();
    field(&mut entry, "PRIORITY", &priority.to_string());
    field(&mut entry, "SYSLOG_IDENTIFIER", "latchkeyd");
    field(&mut entry, "LATCHKEY_EVENT", &event.id.number().to_string());
    if let Some(who) = &event.who {
        field(&mut entry, "LATCHKEY_UID", &who.uid.to_string());
        field(&mut entry, "LATCHKEY_USER", &who.user);
        if let Some(sid) = &who.sid {
            field(&mut entry, "LATCHKEY_SID", sid);
        }
    }
    for (name, value) in &event.fields {
        let name = format!("LATCHKEY_{}", name.to_ascii_uppercase());
        field(&mut entry, &name, value);
    }
    entry
}

fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Id;

    #[test]
    fn an_event_is_one_datagram_of_fields() {
        let path = std::env::temp_dir().join(format!("latchkey-journal-{}", std::process::id()));
        let journal = UnixDatagram::bind(&path).unwrap();
        let sid = "S-1-5-21-1-2-3-1104".parse().unwrap();
        let event = Event::new(Id::KeyDeleted)
            .of(1000, "alice", Some(&sid))
            .with("KeyID", "{ab}")
            .with("UPN", "alice@corp.test");
        send(&path, &event).unwrap();
        let mut bytes = [0; 4096];
        let length = journal.recv(&mut bytes).unwrap();
        std::fs::remove_file(&path).unwrap();
        let message =
            "The person's key was removed from this machine.\nKeyID: {ab}\nUPN: alice@corp.test";
        let mut expected = b"MESSAGE\n".to_vec();
        expected.extend((message.len() as u64).to_le_bytes());
        expected.extend(message.as_bytes());
        expected.extend(
            b"\nPRIORITY=6\nSYSLOG_IDENTIFIER=latchkeyd\nLATCHKEY_EVENT=352\nLATCHKEY_UID=1000\n\
              LATCHKEY_USER=alice\nLATCHKEY_SID=S-1-5-21-1-2-3-1104\nLATCHKEY_KEYID={ab}\n\
              LATCHKEY_UPN=alice@corp.test\n",
        );
        assert_eq!(&bytes[..length], expected);
    }

    #[test]
    fn where_there_is_no_journal_that_is_known() {
        assert!(send("/nonexistent".as_ref(), &Event::new(Id::Left)).is_err());
    }
}
