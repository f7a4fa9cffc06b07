//! What can be seen: results on standard output, the way there and complaints on standard error.

use std::io::{self, Write};

use serde::Serialize;

/// Where and how to write.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// A result: JSON where that was asked for, else the text.
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let line = if self.json {
            serde_json::to_string(value)?
        } else {
            text()
        };
        self.write(format!("{}\n", line.trim_end()).as_bytes())
    }

    /// Bytes as they are.
    pub(crate) fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Tells what is going on, for whatever takes a while.
    pub(crate) fn progress(&self, text: &str) {
        // Where nobody listens, nothing is lost.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Tells why it did not work.
    pub(crate) fn complain(&self, error: &anyhow::Error) {
        let refusal = error.downcast_ref::<ipc::CallError>();
        if self.json
            && let Some(ipc::CallError::Refused(failure)) = refusal
            && let Ok(text) = serde_json::to_string(failure)
        {
            let _ = writeln!(io::stdout().lock(), "{{\"error\":{text}}}");
        }
        let _ = writeln!(io::stderr().lock(), "latchkey: {error:#}");
    }
}
