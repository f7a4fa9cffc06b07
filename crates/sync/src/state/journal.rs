//! A file that grows with what changes: too long to be written whole with every batch.
//!
//! The first line is the whole content, each further one what a batch changed. A line counts when it
//! is complete: a kill in the middle of one leaves the file as it was before that batch. The file is
//! written whole, beside and renamed, by the first batch of a process, and when its lines would be
//! longer than the content that they follow; so nothing is appended to what a kill cut off.

use std::{
    fs::File,
    io::{self, Write as _},
    ops::{Deref, DerefMut},
};

use anyhow::Context as _;
use serde::{Serialize, de::DeserializeOwned};

use super::{Folder, Versioned};

/// In version 1 the content is all there is.
const VERSION: u32 = 2;

/// So many bytes of lines are not too long for any content.
const FEW: usize = 1 << 16;

/// What can tell its changes.
pub trait Journaled: Default + Serialize + DeserializeOwned {
    /// What has changed since this was asked the last time, if anything has.
    fn take_changes(&mut self) -> Option<Self>;

    /// Takes in what had changed.
    fn take_in(&mut self, changes: Self);
}

/// A content and its file.
#[derive(Debug)]
pub struct Journal<T> {
    content: T,
    folder: Folder,
    name: &'static str,
    /// How many bytes of lines may follow; `None` where it is not known how the file ends.
    room: Option<usize>,
    /// Not everything is on disk.
    is_behind: bool,
}

impl<T: Journaled> Journal<T> {
    /// What the file says, and nothing where there is none.
    pub fn open(folder: &Folder, name: &'static str) -> anyhow::Result<Self> {
        let content = match folder.bytes(name)? {
            Some(bytes) => content(folder, name, &bytes)?,
            None => T::default(),
        };
        Ok(Self {
            content,
            folder: folder.clone(),
            name,
            room: None,
            is_behind: false,
        })
    }

    /// Brings to disk what has changed.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        let changes = self.content.take_changes();
        if changes.is_none() && !self.is_behind {
            return Ok(());
        }
        self.is_behind = true;
        let line = line(&changes)?;
        let room = self.room.take();
        let left = room.and_then(|room| room.checked_sub(line.len()));
        self.room = match left {
            Some(left) if self.append(&line)? => Some(left),
            _ => Some(self.write_whole()?),
        };
        self.is_behind = false;
        Ok(())
    }

    /// Whether there was a file to append to.
    fn append(&self, line: &[u8]) -> anyhow::Result<bool> {
        let append = |mut file: File| {
            file.write_all(line)?;
            file.sync_data()
        };
        let mut options = File::options();
        match self.folder.existing(self.name, options.append(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            file => file.and_then(append).map(|()| true).with_context(|| {
                let path = self.folder.0.join(self.name);
                format!("cannot write {}", path.display())
            }),
        }
    }

    /// Answers how many bytes of lines may follow.
    fn write_whole(&self) -> anyhow::Result<usize> {
        let whole = line(&Versioned {
            version: VERSION,
            content: &self.content,
        })?;
        self.folder.write_bytes(self.name, &whole)?;
        Ok(whole.len().max(FEW))
    }
}

impl<T> Deref for Journal<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> DerefMut for Journal<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.content
    }
}

fn line<T: Serialize>(content: &T) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(content)?;
    line.push(b'\n');
    Ok(line)
}

/// The first line, and what those after it changed.
fn content<T: Journaled>(folder: &Folder, name: &str, bytes: &[u8]) -> anyhow::Result<T> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut content: T = folder.parse(name, lines.next().unwrap_or_default(), VERSION)?;
    let mut lines = lines.filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        match serde_json::from_slice(line) {
            Ok(changes) => content.take_in(changes),
            // It was never said to be on disk.
            Err(_) if lines.peek().is_none() => {}
            Err(error) => {
                let path = folder.0.join(name);
                let unreadable = format!("{} cannot be read; it was not touched", path.display());
                return Err(error).context(unreadable);
            }
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
