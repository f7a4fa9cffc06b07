//! The lab: a domain controller, a server and workstations on this machine.
//!
//! Every host has a root file system and namespaces of its own (`supervisor`), starts from a root
//! that is made once per machine (`base`), and runs the programs as they are installed. A lab is
//! known by its name; its folder under [`LABS`] holds everything of it, and goes with it.

pub mod address;
mod base;
mod call;
mod clean;
mod controller;
mod domain;
mod host;
mod install;
mod pki;
mod process;
mod secrets;
mod status;
mod supervisor;
mod talk;
mod workstation;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::address::{Role, role};
use self::base::{private_folder, remove_tree};
pub use self::call::{Call, Output, until_ok};
pub use self::clean::Clean;
pub use self::host::Host;
pub use self::install::{Profile, target_folder, workspace};
pub use self::pki::{CRL_URL, KdcCertificate, Pki};
pub use self::process::Process;
pub use self::secrets::Secrets;
pub use self::status::{HostStatus, Status};
use self::supervisor::First;
pub use self::talk::Talk;
use crate::packages;

/// What is kept from one lab to the next.
pub const CACHE: &str = "/var/cache/latchkey/lab";
/// Where the labs' own folders are.
pub const LABS: &str = "/var/tmp/latchkey-lab";
/// The account with which `latchkey-sync` works in the domain.
pub const AGENT_ACCOUNT: &str = "svc-latchkey";
/// The service for which people get tickets to prove themselves to the agent.
pub const AGENT_SERVICE: &str = "latchkey-sync/server.corp.latchkey.test";
/// Where the agent's keytab is on the host `server`.
pub const AGENT_KEYTAB: &str = "/etc/latchkey/sync.keytab";

/// How a lab is brought up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many workstations, from `ws1`.
    pub workstations: u8,
    /// How many users there are in the unit `Crowd`, which is there if anybody is.
    pub crowd: u32,
    /// Is told what happens, one line at a time.
    pub say: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workstations: 1,
            crowd: 0,
            say: |_| {},
        }
    }
}

/// A lab that is up.
#[derive(Clone)]
pub struct Lab {
    name: String,
    folder: PathBuf,
    state: State,
}

/// What the state file holds.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    version: u32,
    supervisor: Process,
    hosts: BTreeMap<String, Process>,
    samba: String,
    secrets: Secrets,
}

const STATE_VERSION: u32 = 1;

impl Lab {
    /// Installs what a lab needs of this machine, and asks the kernel whether it may be.
    ///
    /// # Errors
    /// At once, naming what is missing.
    pub fn is_possible(say: fn(&str)) -> Result<()> {
        if !packages::is_root() {
            bail!("the lab needs root: it makes namespaces, mounts and links (none of them stay)");
        }
        packages::install(&[packages::LAB], say)?;
        private_folder(Path::new(LABS))?;
        supervisor::probe(Path::new(LABS))
    }

    /// Brings the lab `name` up, or finds it up and well. What a killed lab left is removed.
    ///
    /// # Errors
    /// When this machine lacks rights or packages, or a part does not come up in time.
    pub fn up(name: &str, options: Options) -> Result<Self> {
        let folder = folder_of(name)?;
        Self::is_possible(options.say)?;
        let _held = hold(name)?;
        if let Ok(mut lab) = Self::attach(name) {
            if lab.is_well() {
                (options.say)(&format!("the lab {name} is up already"));
                lab.add_missing(options.workstations)?;
                return Ok(lab);
            }
            (options.say)(&format!("the lab {name} is not well: making it anew"));
        }
        clear(&folder)?;
        private_folder(&folder)?;
        let built = build(name, &folder, options);
        if built.is_err() {
            supervisor::end(&folder)?;
        }
        built
    }

    /// The lab `name`, if it is up.
    ///
    /// # Errors
    /// When it is not up.
    pub fn attach(name: &str) -> Result<Self> {
        let folder = folder_of(name)?;
        let text = fs::read(folder.join("state.json"))
            .with_context(|| format!("the lab {name} is not up (cargo xtask lab up)"))?;
        let state: State = serde_json::from_slice(&text)?;
        if state.version != STATE_VERSION || !state.supervisor.is_alive() {
            bail!("the lab {name} is not up any more (cargo xtask lab up)");
        }
        Ok(Self {
            name: name.to_owned(),
            folder,
            state,
        })
    }

    /// Ends the lab `name` politely, then for good; does nothing when there is none.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub fn down(name: &str) -> Result<()> {
        let folder = folder_of(name)?;
        if !folder.exists() {
            return Ok(());
        }
        let _held = hold(name)?;
        if let Ok(lab) = Self::attach(name) {
            lab.stop_politely();
        }
        clear(&folder)
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process whose end is the lab's end.
    #[must_use]
    pub fn supervisor(&self) -> Process {
        self.state.supervisor
    }

    /// The lab's folder on this machine.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version of Samba on the domain controller.
    #[must_use]
    pub fn samba(&self) -> &str {
        &self.state.samba
    }

    /// A host by its short name.
    ///
    /// # Errors
    /// When this lab has no such host.
    pub fn host(&self, name: &str) -> Result<Host> {
        let Some(&init) = self.state.hosts.get(name) else {
            bail!("the lab {} has no host {name}", self.name)
        };
        Ok(Host {
            name: name.to_owned(),
            init,
        })
    }

    /// All hosts, by name.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        let hosts = self.state.hosts.iter();
        hosts
            .map(|(name, &init)| Host {
                name: name.clone(),
                init,
            })
            .collect()
    }

    /// The domain password of `alice`, `bob`, `carol` or `dave`.
    ///
    /// # Errors
    /// When the lab has no such person.
    pub fn password(&self, person: &str) -> Result<&str> {
        self.state.secrets.person(person)
    }

    /// The password of the domain's Administrator.
    #[must_use]
    pub fn administrator_password(&self) -> &str {
        &self.state.secrets.administrator
    }

    /// The lab's certificate authorities.
    #[must_use]
    pub fn pki(&self) -> Pki {
        Pki::at(&self.folder)
    }

    /// Gives the KDC another certificate and restarts Samba; returns when it answers again.
    ///
    /// # Errors
    /// When Samba does not come back.
    pub fn use_kdc_certificate(&self, kind: KdcCertificate) -> Result<()> {
        let (pki, name) = (self.pki(), kind.name());
        let certificate = pki.read(&format!("{name}.crt"))?;
        self.use_kdc_identity(&certificate, &pki.read(&format!("{name}.key"))?)
    }

    /// Gives the KDC a certificate and key in PEM that were made elsewhere, and restarts Samba.
    ///
    /// # Errors
    /// When Samba does not come back.
    pub fn use_kdc_identity(&self, certificate: &[u8], key: &[u8]) -> Result<()> {
        domain::put_identity(&self.host("dc")?, certificate, key)?;
        self.restart_samba()
    }

    /// Restarts Samba; returns when directory and KDC answer again.
    ///
    /// # Errors
    /// When Samba does not come back.
    pub fn restart_samba(&self) -> Result<()> {
        let dc = self.host("dc")?;
        dc.stop("samba")?;
        domain::start_samba(&dc)
    }

    /// Takes a host off the network, as if its cable were pulled.
    ///
    /// # Errors
    /// When the lab has no such host.
    pub fn unplug(&self, host: &str) -> Result<()> {
        supervisor::plug(self.state.supervisor, host, "down")
    }

    /// Puts a host back on the network.
    ///
    /// # Errors
    /// When the lab has no such host.
    pub fn plug(&self, host: &str) -> Result<()> {
        supervisor::plug(self.state.supervisor, host, "up")
    }

    /// Exports the agent's keys anew to [`AGENT_KEYTAB`] on the server, as is needed after its
    /// password or its service name has changed.
    ///
    /// # Errors
    /// When Samba refuses.
    pub fn export_agent_keytab(&self) -> Result<()> {
        let dc = self.host("dc")?;
        domain::export_keytab(&dc)?;
        domain::hand_over_keytab(&dc, &self.host("server")?)
    }

    /// What `samba` has logged, the KDC's lines included.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn kdc_log(&self) -> Result<String> {
        self.host("dc")?.read_text("/var/log/samba/samba.log")
    }

    /// Starts the TPM of a workstation with the state that it had.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn start_tpm(&self, workstation: &str) -> Result<()> {
        workstation::start_tpm(&self.host(workstation)?)
    }

    /// Shuts the TPM of a workstation down in order.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop_tpm(&self, workstation: &str) -> Result<()> {
        workstation::stop_tpm(&self.host(workstation)?)
    }

    /// Adds a workstation such as `ws2`: a host with a TPM, joined to the domain, running SSSD.
    ///
    /// # Errors
    /// When it does not come up, or the lab has it already.
    pub fn add_workstation(&mut self, name: &str) -> Result<Host> {
        let member = base::prepare(&base::MEMBER, |_| {})?;
        self.add_member(name, &member, First::Shell)
    }

    /// Adds a workstation with nothing of ours on it and systemd as its first process, for the
    /// package to be installed there.
    ///
    /// # Errors
    /// When it does not come up, or the lab has it already.
    pub fn add_clean_workstation(&mut self, name: &str) -> Result<Host> {
        let clean = base::prepare(&base::CLEAN, |_| {})?;
        self.add_member(name, &clean, First::Systemd)
    }

    fn add_member(&mut self, name: &str, base: &base::Base, first: First) -> Result<Host> {
        if role(name)? != Role::Workstation || self.state.hosts.contains_key(name) {
            bail!("{name} is no new workstation");
        }
        let host = self.join_workstation(name, base, first)?;
        write_state(self)?;
        Ok(host)
    }

    /// Adds the host `stranger`, or finds it: on the network, with programs of its own, known to
    /// nobody.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn add_stranger(&mut self) -> Result<Host> {
        let name = "stranger";
        if let Ok(host) = self.host(name) {
            return Ok(host);
        }
        let member = base::prepare(&base::MEMBER, |_| {})?;
        let host = self.start_host(name, &[&member.folder], First::Shell)?;
        write_state(self)?;
        Ok(host)
    }

    fn add_missing(&mut self, workstations: u8) -> Result<()> {
        for name in (1..=workstations).map(|count| format!("ws{count}")) {
            if !self.state.hosts.contains_key(&name) {
                self.add_workstation(&name)?;
            }
        }
        Ok(())
    }

    fn join_workstation(&mut self, name: &str, base: &base::Base, first: First) -> Result<Host> {
        let host = self.start_host(name, &[&base.folder], first)?;
        workstation::prepare(&host, &self.pki())?;
        workstation::join(&host, &self.state.secrets)?;
        Ok(host)
    }

    fn start_host(&mut self, name: &str, layers: &[&Path], first: First) -> Result<Host> {
        let supervisor = self.state.supervisor;
        let init = supervisor::start_host(supervisor, &self.folder, name, layers, first)?;
        supervisor::link(supervisor, init, name)?;
        self.state.hosts.insert(name.to_owned(), init);
        Ok(Host {
            name: name.to_owned(),
            init,
        })
    }

    fn is_well(&self) -> bool {
        let hosts = self.hosts();
        let daemons = |host: &Host| host.daemons().iter().all(|name| host.pid(name).is_some());
        hosts
            .iter()
            .all(|host| host.init.is_alive() && daemons(host))
    }

    /// Lets what keeps state end in order. Whatever fails here is ended with the lab anyway.
    fn stop_politely(&self) {
        for host in self.hosts() {
            for name in host.daemons() {
                let _ended_anyway = match name.as_str() {
                    "swtpm" => workstation::stop_tpm(&host),
                    // The domain is thrown away, and Samba takes seconds to say goodbye.
                    "samba" | "crl" => Ok(()),
                    _ => host.stop(&name),
                };
            }
        }
    }
}

fn build(name: &str, folder: &Path, options: Options) -> Result<Lab> {
    let say = options.say;
    let mut times = Times {
        last: Instant::now(),
        say,
    };
    let (controller, member) = std::thread::scope(|scope| {
        let controller = scope.spawn(|| base::prepare(&base::DOMAIN_CONTROLLER, say));
        let member = base::prepare(&base::MEMBER, say);
        let controller = controller
            .join()
            .unwrap_or_else(|_| bail!("making the base failed"));
        controller.and_then(|controller| Ok((controller, member?)))
    })?;
    times.step(&format!("bases: Samba {}", controller.version));

    let supervisor = supervisor::start(folder)?;
    let shop = domain::Workshop {
        base: &controller,
        supervisor,
        lab: folder,
        say,
    };
    let domain = domain::provisioned(&shop, options.crowd)?;
    let crowd = match options.crowd {
        0 => None,
        crowd => Some(domain::crowded(&shop, &domain, crowd)?),
    };
    times.step("domain layers");
    let pki = Pki::make(folder)?;
    times.step("certificates");

    let state = State {
        version: STATE_VERSION,
        supervisor,
        hosts: BTreeMap::new(),
        samba: controller.version,
        secrets: Secrets::make()?,
    };
    let mut lab = Lab {
        name: name.to_owned(),
        folder: folder.to_owned(),
        state,
    };
    let layers = crowd.iter().chain([&domain, &controller.folder]);
    let layers: Vec<&Path> = layers.map(PathBuf::as_path).collect();
    let dc = lab.start_host("dc", &layers, First::Shell)?;
    domain::start(&dc, &pki, &lab.state.secrets)?;
    times.step("domain up");
    let server = lab.start_host("server", &[&member.folder], First::Shell)?;
    workstation::prepare_server(&server, &pki)?;
    domain::hand_over_keytab(&dc, &server)?;
    for count in 1..=options.workstations {
        lab.join_workstation(&format!("ws{count}"), &member, First::Shell)?;
        times.step(&format!("ws{count} joined"));
    }
    write_state(&lab)?;
    Ok(lab)
}

struct Times {
    last: Instant,
    say: fn(&str),
}

impl Times {
    fn step(&mut self, what: &str) {
        (self.say)(&format!(
            "{what} ({:.1} s)",
            self.last.elapsed().as_secs_f64()
        ));
        self.last = Instant::now();
    }
}

fn write_state(lab: &Lab) -> Result<()> {
    let part = lab.folder.join("state.part");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(&serde_json::to_vec_pretty(&lab.state)?)?;
    fs::rename(&part, lab.folder.join("state.json")).context("the lab's state file")
}

fn folder_of(name: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
        bail!("a lab's name is 1 to 32 of a-z, 0-9 and -");
    }
    Ok(Path::new(LABS).join(name))
}

/// Keeps other processes from changing the same lab until the file is dropped.
fn hold(name: &str) -> Result<fs::File> {
    let file = fs::File::create(Path::new(LABS).join(format!("{name}.lock")))?;
    file.lock()
        .context("waiting for another run on the same lab")?;
    Ok(file)
}

/// Removes what is left of a lab in `folder`, running or not.
fn clear(folder: &Path) -> Result<()> {
    supervisor::end(folder)?;
    supervisor::remove_groups(folder)?;
    remove_tree(folder)
}
