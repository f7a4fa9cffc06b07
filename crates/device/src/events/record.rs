//! The record on disk, and who may read it.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead as _, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ipc::{EventsAnswer, EventsShow};
use model::{Sid, UnixTime};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, Kept};
use crate::{Error, daemon::Daemon, peer::Peer};

/// The two files, and the number of the next event.
pub(super) struct Record {
    path: PathBuf,
    limit: u64,
    /// Known once something was written.
    next: Mutex<Option<u64>>,
}

/// What of a line decides whether somebody sees it.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    time: i64,
    event: u16,
    uid: Option<u32>,
    sid: Option<Sid>,
}

/// A caller who sees what happened to them: a uid may have been another's before.
struct Caller {
    uid: u32,
    sid: Option<Sid>,
}

impl Caller {
    fn may_see(&self, line: &Line) -> bool {
        line.uid == Some(self.uid) && line.sid.is_some() && line.sid == self.sid
    }
}

impl Record {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("events.jsonl"),
            limit: LIMIT,
            next: Mutex::default(),
        }
    }

    /// Appends one.
    pub(super) fn keep(&self, time: UnixTime, event: &Event) -> io::Result<()> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = next.unwrap_or_else(|| self.lines().last().map_or(1, |(line, _)| line.seq + 1));
        let mut line = serde_json::to_vec(&Kept { seq, time, event })?;
        line.push(b'\n');
        let size = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if size + line.len() as u64 > self.limit {
            fs::rename(&self.path, self.old())?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(&self.path)?.write_all(&line)?;
        *next = Some(seq + 1);
        Ok(())
    }

    /// The lines that can be read, the oldest first: one that a full disk cut off is left out.
    fn lines(&self) -> impl Iterator<Item = (Line, String)> {
        let files = [self.old(), self.path.clone()].into_iter();
        let files = files.filter_map(|path| fs::File::open(path).ok());
        let texts = files.flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
        texts.filter_map(|text| Some((serde_json::from_str(&text).ok()?, text)))
    }

    fn old(&self) -> PathBuf {
        self.path.with_extension("old.jsonl")
    }

    /// What is asked for, as far as it fits into one answer.
    fn show(&self, asked: &EventsShow, of: Option<&Caller>) -> EventsAnswer {
        let is_wanted = |line: &Line| {
            line.seq > asked.after
                && of.is_none_or(|caller| caller.may_see(line))
                && asked.id.is_none_or(|id| line.event == id)
                && asked.since.is_none_or(|since| line.time >= since)
        };
        let mut wanted = self.lines().filter(|(line, _)| is_wanted(line)).peekable();
        let (mut events, mut size, mut last) = (Vec::new(), 0, asked.after);
        while let Some((line, text)) = wanted.next_if(|(_, text)| size + text.len() < MOST) {
            size += text.len();
            last = line.seq;
            events.extend(RawValue::from_string(text));
        }
        EventsAnswer {
            events,
            next: wanted.peek().map(|_| last),
        }
    }
}

/// Shows what happened: root everything, anyone else what happened to them.
pub(crate) async fn show(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: EventsShow,
) -> Result<EventsAnswer, Error> {
    let uid = peer.process.uid;
    let of = match peer.is_root() {
        true => None,
        false => Some(Caller {
            uid,
            sid: daemon.sid(uid).await?,
        }),
    };
    let daemon = Arc::clone(daemon);
    let read = move || daemon.events.record.show(&args, of.as_ref());
    Ok(tokio::task::spawn_blocking(read).await?)
}

/// Of one file, in bytes: some thousand sign-ins.
const LIMIT: u64 = 512 * 1024;

/// Of one answer, in bytes.
const MOST: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Id;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("latchkey-events-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn asked(id: Option<u16>, since: Option<i64>, after: u64) -> EventsShow {
        EventsShow { id, since, after }
    }

    fn seqs(answer: &EventsAnswer) -> Vec<u64> {
        let seq = |event: &RawValue| serde_json::from_str::<Line>(event.get()).unwrap().seq;
        answer.events.iter().map(|event| seq(event)).collect()
    }

    #[test]
    fn the_record_keeps_the_newest_and_stays_within_its_bound() {
        let folder = Folder::new("bound");
        let record = Record {
            limit: 400,
            ..Record::in_folder(&folder.0)
        };
        for number in 0..50 {
            let event = Event::new(Id::Left).with("Server", number);
            record.keep(UnixTime(number), &event).unwrap();
        }
        for name in ["events.jsonl", "events.old.jsonl"] {
            assert!(fs::metadata(folder.0.join(name)).unwrap().len() <= 400);
        }
        let shown = seqs(&record.show(&asked(None, None, 0), None));
        assert_eq!(shown.last(), Some(&50));
        let first = 51 - shown.len() as u64;
        assert_eq!(shown, (first..=50).collect::<Vec<_>>());
        // After a restart it goes on where it was, and a line that was cut off is none.
        let mut file = OpenOptions::new().append(true).open(&record.path).unwrap();
        file.write_all(b"{\"seq\":99,\"ti\n").unwrap();
        let record = Record::in_folder(&folder.0);
        record.keep(UnixTime(99), &Event::new(Id::Left)).unwrap();
        assert_eq!(seqs(&record.show(&asked(None, None, 50), None)), [51]);
    }

    #[test]
    fn everybody_sees_what_they_ask_for_and_nobody_what_happened_to_others() {
        let folder = Folder::new("shown");
        let record = Record::in_folder(&folder.0);
        let sid: Sid = "S-1-5-21-1-2-3-1104".parse().unwrap();
        for (time, id, uid) in [
            (10, Id::WillNotProvision, Some(1000)),
            (20, Id::WillProvision, Some(1001)),
            (30, Id::Left, None),
            (40, Id::WillProvision, Some(1000)),
        ] {
            let event = Event::new(id);
            let event = match uid {
                Some(uid) => event.of(uid, "somebody", Some(&sid)),
                None => event,
            };
            record.keep(UnixTime(time), &event).unwrap();
        }
        for (id, since, after, of, expected) in [
            (None, None, 0, None, &[1, 2, 3, 4][..]),
            (Some(358), None, 0, None, &[2, 4]),
            (None, Some(20), 0, None, &[2, 3, 4]),
            (None, None, 2, None, &[3, 4]),
            (None, None, 0, Some(1000), &[1, 4]),
            (Some(358), None, 0, Some(1001), &[2]),
            (None, None, 0, Some(1002), &[]),
        ] {
            let caller = of.map(|uid| Caller {
                uid,
                sid: Some(sid.clone()),
            });
            let answer = record.show(&asked(id, since, after), caller.as_ref());
            assert_eq!(seqs(&answer), expected, "{id:?} {since:?} {after} {of:?}");
            assert_eq!(answer.next, None);
        }
        // The uid is somebody else's by now.
        for sid in ["S-1-5-21-1-2-3-1105".parse().ok(), None] {
            let caller = Caller { uid: 1000, sid };
            let answer = record.show(&asked(None, None, 0), Some(&caller));
            assert!(answer.events.is_empty());
        }
    }

    #[test]
    fn what_does_not_fit_into_one_answer_comes_in_the_next() {
        let folder = Folder::new("pages");
        let record = Record::in_folder(&folder.0);
        let long = "x".repeat(100_000);
        for n in 0..8 {
            let event = Event::new(Id::Left).with("Server", &long);
            record.keep(UnixTime(n), &event).unwrap();
        }
        let (mut after, mut seen) = (0, Vec::new());
        loop {
            let answer = record.show(&asked(None, None, after), None);
            assert!(answer.events.len() < 6);
            seen.extend(seqs(&answer));
            match answer.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen.last(), Some(&8));
        assert!(seen.is_sorted() && seen.len() >= 5);
    }
}
