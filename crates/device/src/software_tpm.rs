//! A program in a TPM's place: swtpm as a child of this daemon, on one end of a socket pair.
//!
//! What must hold: nobody else reaches it, and it does not outlive the daemon. The pair has no
//! name, and when our end closes, whatever closes it, the child ends. Its state lies on the disk,
//! encrypted with a key that lies beside it: that keeps a copy of the one without the other from
//! being of use, and protects from nobody who is root.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tpm::Tpm;

use crate::{Error, ffi, files};

/// Where it is.
pub(crate) struct Place {
    program: PathBuf,
    folder: PathBuf,
    key: PathBuf,
}

/// It runs.
pub(crate) struct Running {
    child: Child,
    /// None only while this is dropped.
    tpm: Option<Tpm>,
}

impl Place {
    /// In the daemon's folder.
    pub(crate) fn in_folder(state: &Path, program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            folder: state.join("software-tpm"),
            key: state.join("software-tpm.key"),
        }
    }

    /// Starts it with the state that it had; with a new one where there is none.
    pub(crate) fn start(&self) -> Result<Running, Error> {
        files::folder(&self.folder, 0o700)?;
        // Made where there is none; the child reads the file itself.
        drop(files::secret(&self.key)?);
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.program);
        command
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--fd")
            .arg(ffi::CHANNEL.to_string())
            .arg("--tpmstate")
            .arg(format!("dir={},mode=0600", self.folder.display()))
            .arg("--key")
            .arg(format!(
                "file={},format=binary,mode=aes-256-cbc",
                self.key.display()
            ))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        ffi::give_channel(&mut command, ffi::move_up(&theirs.into())?);
        let child = command.spawn().map_err(|error| self.not_started(&error))?;
        // The command holds the child's end of the channel too.
        drop(command);
        let mut running = Running { child, tpm: None };
        running.tpm = Some(Tpm::over(ours)?);
        Ok(running)
    }

    fn not_started(&self, error: &io::Error) -> Error {
        Error::Tpm(tpm::Error::Unavailable(format!(
            "keys are to be kept in software, and {} (Debian package swtpm) does not start: {error}",
            self.program.display()
        )))
    }

    /// Removes its state, and with it every key that it ever made.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        files::remove(&self.key)
    }
}

impl Running {
    /// The TPM.
    pub(crate) fn tpm(&mut self) -> Result<&mut Tpm, Error> {
        let lost = Error::Bug("a software TPM without a channel");
        self.tpm.as_mut().ok_or(lost)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.tpm.take().map(Tpm::shut_down) {
            tracing::warn!(%error, "the software TPM was not shut down in order");
        }
        // All it does not lose is on the disk by now.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!(%error, "the software TPM was lost");
        }
    }
}
