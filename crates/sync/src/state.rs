//! Files of the agent: versioned, private, written so that a kill leaves the old or the new one.
//!
//! Root opens them too, in a folder in which the agent's user may put what it likes. So no link is
//! followed, and what is no file of this one name alone is neither read, nor written, nor given away.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail, ensure};
use model::Guid;
use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::ffi;

mod journal;

pub use self::journal::{Journal, Journaled};

/// The version of every file here but the journals.
const VERSION: u32 = 1;

const AGENT: &str = "agent.json";
const KEY: &str = "agent.key";
/// A key that the server was asked to take in place of the other, and may have taken.
const NEXT_KEY: &str = "agent.key.next";

/// Who may ask, for people.
pub(crate) const WHO: &str =
    "ask as root, or as the agent's user: runuser -u latchkey-sync -- latchkey-sync …";

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// Who the agent is and which server it belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrolled {
    /// Its id.
    pub agent: Guid,
    /// The tenant.
    pub tenant: Guid,
    /// The server.
    pub server: String,
    /// The certificate that the server's must stand on, PEM.
    pub anchor: String,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Folder {
    /// The folder at `path`, made if it is missing.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("cannot make {}", path.display()))
            }
            _ => Ok(Self(path.to_owned())),
        }
    }

    /// Removes what a kill left half written. For the one that runs: another's file would be under
    /// its pen. It is the folder's owner, so that root does not write where another may plant links.
    pub fn sweep(&self) -> anyhow::Result<()> {
        let shown = self.0.display();
        let found = fs::metadata(&self.0).with_context(|| format!("cannot read {shown}"))?;
        ensure!(
            found.uid() == ffi::user(),
            "{shown} belongs to another user, as whom the agent runs: systemctl start latchkey-sync"
        );
        for entry in fs::read_dir(&self.0).with_context(|| format!("cannot read {shown}"))? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let name = name.to_string_lossy();
            if name.starts_with('.') && name.ends_with(".new") {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// A file's content; `None` where there is no file.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let bytes = self.bytes(name)?;
        bytes
            .map(|bytes| self.parse(name, &bytes, VERSION))
            .transpose()
    }

    fn bytes(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let read = || {
            let mut bytes = Vec::new();
            self.existing(name, File::options().read(true))?
                .read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        let path = self.0.join(name);
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(error).with_context(|| format!("cannot read {}: {WHO}", path.display()))
            }
            result => result
                .map(Some)
                .with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Opens a file, which is the agent's own or refused.
    fn existing(&self, name: &str, options: &mut OpenOptions) -> io::Result<File> {
        // Without waiting, for somebody to write into a pipe for example.
        let file = options
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.0.join(name))?;
        let found = file.metadata()?;
        // None at all where the agent renamed another over it meanwhile.
        if !found.is_file() || found.nlink() > 1 {
            let sentence = "it is no file of this one name: look who put it there, and remove it";
            return Err(io::Error::other(sentence));
        }
        Ok(file)
    }

    fn key(&self, name: &str) -> anyhow::Result<Option<PKey<Private>>> {
        let Some(pem) = self.bytes(name)? else {
            return Ok(None);
        };
        PKey::private_key_from_pem(&Zeroizing::new(pem))
            .map(Some)
            .with_context(|| format!("{} is not a private key", self.0.join(name).display()))
    }

    /// A content of a version that is `newest` at most.
    fn parse<T: DeserializeOwned>(
        &self,
        name: &str,
        bytes: &[u8],
        newest: u32,
    ) -> anyhow::Result<T> {
        let path = self.0.join(name);
        let unreadable = || format!("{} cannot be read; it was not touched", path.display());
        let Version { version } = serde_json::from_slice(bytes).with_context(unreadable)?;
        if !(VERSION..=newest).contains(&version) {
            bail!(
                "{} is of version {version}, this program reads {newest}; use the program that \
                 wrote it",
                path.display()
            );
        }
        let Versioned { content, .. } = serde_json::from_slice(bytes).with_context(unreadable)?;
        Ok(content)
    }

    /// Writes a file.
    pub fn write<T: Serialize>(&self, name: &str, content: &T) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(&Versioned {
            version: VERSION,
            content,
        })?;
        self.write_bytes(name, &bytes)
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The enrollment and its key.
    pub fn enrolled(&self) -> anyhow::Result<(Enrolled, PKey<Private>)> {
        let enrolled = self.read(AGENT)?.context(
            "the agent is not enrolled; run `latchkey-server admin agent code` on the server and \
             `latchkey-sync enroll` here",
        )?;
        let missing = || format!("{} is missing: enroll again", self.0.join(KEY).display());
        let key = self.key(KEY)?.with_context(missing)?;
        Ok((enrolled, key))
    }

    /// Keeps an enrollment: the key first, so that a kill between leaves no enrollment without it.
    pub fn keep_enrolled(&self, enrolled: &Enrolled, key: &PKey<Private>) -> anyhow::Result<()> {
        self.write_bytes(KEY, &Zeroizing::new(key.private_key_to_pem_pkcs8()?))?;
        // It was to follow the former one.
        self.remove(NEXT_KEY)?;
        self.write(AGENT, enrolled)
    }

    /// The key that is to follow, if one is under way.
    pub fn next_key(&self) -> anyhow::Result<Option<PKey<Private>>> {
        self.key(NEXT_KEY)
    }

    /// Keeps the key that is to follow.
    pub fn keep_next_key(&self, key: &PKey<Private>) -> anyhow::Result<()> {
        self.write_bytes(NEXT_KEY, &Zeroizing::new(key.private_key_to_pem_pkcs8()?))
    }

    /// The server knows the key that was to follow: it takes the place of the other.
    pub fn adopt_next_key(&self) -> anyhow::Result<()> {
        fs::rename(self.0.join(NEXT_KEY), self.0.join(KEY))
            .and_then(|()| File::open(&self.0)?.sync_all())
            .with_context(|| format!("cannot rename {NEXT_KEY} in {}", self.0.display()))
    }

    /// When the agent's key was made.
    pub fn key_made(&self) -> anyhow::Result<SystemTime> {
        let path = self.0.join(KEY);
        let made = fs::metadata(&path).and_then(|found| found.modified());
        made.with_context(|| format!("cannot read {}", path.display()))
    }

    /// Takes the folder for this process alone, as long as what is answered lives.
    pub fn take(&self) -> anyhow::Result<File> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = self
            .existing("run.lock", &mut options)
            .with_context(|| format!("cannot open {}", self.0.join("run.lock").display()))?;
        self.give_to_owner(&lock)?;
        if lock.try_lock().is_err() {
            bail!(
                "the agent runs with the state in {}: systemctl stop latchkey-sync, then try again",
                self.0.display()
            );
        }
        Ok(lock)
    }

    /// What root writes here belongs to the user that the folder is for.
    fn give_to_owner(&self, file: &File) -> anyhow::Result<()> {
        let (folder, found) = (fs::metadata(&self.0)?, file.metadata()?);
        if (found.uid(), found.gid()) != (folder.uid(), folder.gid()) && found.uid() == 0 {
            fchown(file, Some(folder.uid()), Some(folder.gid()))?;
        }
        Ok(())
    }

    fn write_bytes(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        let fresh = self.0.join(format!(".{name}.new"));
        self.remove(&format!(".{name}.new"))?;
        let write = || {
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&fresh)?;
            self.give_to_owner(&file).map_err(io::Error::other)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Enrolled {
    /// The anchor.
    pub fn anchor(&self) -> anyhow::Result<X509> {
        X509::from_pem(self.anchor.as_bytes()).context("the anchor in agent.json is unreadable")
    }

    /// The anchor's fingerprint, as the service connection point holds it.
    pub fn fingerprint(&self) -> anyhow::Result<String> {
        let spki = self.anchor()?.public_key()?.public_key_to_der()?;
        let digest = model::sha256(&spki);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("sha256:{hex}"))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::MetadataExt};

    use super::*;

    fn folder(name: &str) -> (PathBuf, Folder) {
        let path =
            std::env::temp_dir().join(format!("latchkey-sync-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        (path.clone(), Folder::open(&path).unwrap())
    }

    #[test]
    fn a_file_comes_back_as_it_was_and_is_private() {
        let (path, folder) = folder("back");
        let content = BTreeMap::from([("a".to_owned(), 1)]);
        assert_eq!(
            folder.read::<BTreeMap<String, u32>>("x.json").unwrap(),
            None
        );
        folder.write("x.json", &content).unwrap();
        assert_eq!(
            folder
                .read::<BTreeMap<String, u32>>("x.json")
                .unwrap()
                .unwrap()
                .get("a"),
            Some(&1)
        );
        assert_eq!(
            fs::metadata(path.join("x.json")).unwrap().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_a_kill_left_half_written_is_swept_away_and_nothing_else() {
        let (path, folder) = folder("sweep");
        folder.write("x.json", &BTreeMap::from([("a", 1)])).unwrap();
        fs::write(path.join(".x.json.new"), "{\"versi").unwrap();
        folder.sweep().unwrap();
        let left: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["x.json"]);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_link_that_somebody_planted_costs_its_target_nothing() {
        type Plant = fn(&Path, &Path) -> io::Result<()>;
        let symlink: Plant = |target, place| std::os::unix::fs::symlink(target, place);
        let hard_link: Plant = |target, place| fs::hard_link(target, place);
        for plant in [symlink, hard_link] {
            let (path, folder) = folder("planted");
            let (target, content) = (path.join("target"), r#"{"version":1,"a":1}"#);
            fs::write(&target, content).unwrap();
            let before = fs::metadata(&target).unwrap().mode();
            for name in ["x.json", ".y.json.new", "run.lock", KEY, NEXT_KEY] {
                plant(&target, &path.join(name)).unwrap();
            }
            let map = BTreeMap::from([("b".to_owned(), 2)]);
            assert!(folder.read::<BTreeMap<String, u32>>("x.json").is_err());
            assert!(folder.take().is_err());
            assert!(folder.next_key().is_err());
            // Where a file is written anew, it takes the link's place.
            folder.write("x.json", &map).unwrap();
            folder.write("y.json", &map).unwrap();
            for name in ["x.json", "y.json"] {
                assert_eq!(folder.read(name).unwrap(), Some(map.clone()), "{name}");
            }
            assert_eq!(fs::read_to_string(&target).unwrap(), content);
            assert_eq!(fs::metadata(&target).unwrap().mode(), before);
            fs::remove_dir_all(path).unwrap();
        }
    }

    #[test]
    fn an_agent_does_not_run_in_the_folder_of_another_user() {
        let (path, folder) = folder("another");
        folder.sweep().unwrap();
        let others = match ffi::user() {
            0 => {
                std::os::unix::fs::chown(&path, Some(1), None).unwrap();
                folder
            }
            _ => Folder(PathBuf::from("/")),
        };
        let error = others.sweep().unwrap_err().to_string();
        assert!(error.contains("another user"), "{error}");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_is_taken_is_taken_until_it_is_let_go() {
        let (path, folder) = folder("taken");
        let lock = folder.take().unwrap();
        let error = folder.take().unwrap_err().to_string();
        assert!(error.contains("systemctl stop latchkey-sync"), "{error}");
        drop(lock);
        folder.take().unwrap();
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_new_enrollment_leaves_no_key_that_was_to_follow_the_former_one() {
        let (path, folder) = folder("anew");
        let key = || PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
        folder.keep_next_key(&key()).unwrap();
        let id = Guid::from_le_bytes([1; 16]);
        let (server, anchor) = (String::new(), String::new());
        let enrolled = Enrolled {
            agent: id,
            tenant: id,
            server,
            anchor,
        };
        let new = key();
        folder.keep_enrolled(&enrolled, &new).unwrap();
        assert!(folder.next_key().unwrap().is_none());
        assert!(folder.enrolled().unwrap().1.public_eq(&new));
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_cut_off_or_newer_file_is_refused_and_kept() {
        let (path, folder) = folder("cut");
        for text in [
            "{\"version\":1,\"a",
            "",
            "{\"version\":2,\"a\":1}",
            "{\"a\":1}",
        ] {
            fs::write(path.join("x.json"), text).unwrap();
            assert!(
                folder.read::<BTreeMap<String, u32>>("x.json").is_err(),
                "{text}"
            );
            assert_eq!(fs::read_to_string(path.join("x.json")).unwrap(), text);
        }
        fs::remove_dir_all(path).unwrap();
    }
}
