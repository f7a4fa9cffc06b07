//! A conversation with a program on a terminal, as a person at the keyboard has it.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::call::status_number;

/// A program that is being talked with. Dropping it ends the program.
#[derive(Debug)]
pub struct Talk {
    what: String,
    child: Child,
    keys: Option<ChildStdin>,
    screen: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    /// How much of `shown` earlier expectations have used up.
    read: usize,
}

impl Talk {
    pub(super) fn with(what: String, mut child: Child) -> Result<Self> {
        let keys = child.stdin.take();
        let mut output = child.stdout.take().context("the program has no output")?;
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let piece = buffer.get(..count).unwrap_or_default().to_vec();
                if sender.send(piece).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            what,
            child,
            keys,
            screen,
            shown: Vec::new(),
            read: 0,
        })
    }

    /// Waits until the program shows `text`, later than all that was expected before, and returns
    /// what it showed up to there.
    ///
    /// # Errors
    /// When it ends first, or 30 seconds pass; the error has everything it showed.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let fresh = self.shown.get(self.read..).unwrap_or_default();
            if let Some(at) = find(fresh, text.as_bytes()) {
                let until = self.read + at + text.len();
                let piece = self.shown.get(self.read..until).unwrap_or_default();
                let piece = String::from_utf8_lossy(piece).into_owned();
                self.read = until;
                return Ok(piece);
            }
            match self
                .screen
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(piece) => self.shown.extend(piece),
                Err(RecvTimeoutError::Timeout) => bail!("{}: no {text:?} in time", self.told()),
                Err(RecvTimeoutError::Disconnected) => bail!("{}: no {text:?}", self.told()),
            }
        }
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let keys = self.keys.as_mut().context("the keyboard is closed")?;
        keys.write_all(format!("{line}\n").as_bytes())
            .with_context(|| self.what.clone())
    }

    /// Closes the keyboard, waits for the program's end and returns its status and everything that
    /// it showed.
    ///
    /// # Errors
    /// When it does not end within 30 seconds.
    pub fn finish(mut self) -> Result<(i32, String)> {
        self.keys = None;
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match self
                .screen
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(piece) => self.shown.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("{}: does not end", self.told()),
            }
        }
        let status = self.child.wait()?;
        Ok((
            status_number(status),
            String::from_utf8_lossy(&self.shown).into_owned(),
        ))
    }

    fn told(&self) -> String {
        format!(
            "{} showed {:?}",
            self.what,
            String::from_utf8_lossy(&self.shown)
        )
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Closing the keyboard hangs the terminal up; a program that has ended needs neither.
        self.keys = None;
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1))
        .position(|window| window == needle)
}
