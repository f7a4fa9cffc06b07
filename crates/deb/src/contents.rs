//! What belongs to which package, and where it is installed.
//!
//! The only such list: the lab installs programs by it too, so that its hosts have them where the
//! packages put them.

/// Where Debian keeps the libraries of this architecture.
pub const MULTIARCH: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-linux-gnu"
} else {
    "x86_64-linux-gnu"
};

/// A package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// What a person sits at.
    Workstation,
    /// The server.
    Server,
    /// The agent beside the domain controllers.
    Agent,
}

/// A file of a package.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What is installed.
    pub from: From,
    /// Where, `{multiarch}` standing for [`MULTIARCH`]; a folder when it ends with `/`.
    to: &'static str,
    /// Its mode.
    pub mode: u32,
}

/// Where a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Cargo built it.
    Built(&'static str),
    /// It lies in the workspace.
    Kept(&'static str),
}

impl Row {
    /// Its absolute path where it is installed.
    #[must_use]
    pub fn path(&self) -> String {
        let (From::Built(source) | From::Kept(source)) = self.from;
        let name = source.rsplit('/').next().unwrap_or(source);
        let folder = self.to.replace("{multiarch}", MULTIARCH);
        match folder.ends_with('/') {
            true => folder + name,
            false => folder,
        }
    }
}

const fn built(name: &'static str, to: &'static str, mode: u32) -> Row {
    let from = From::Built(name);
    Row { from, to, mode }
}

const fn kept(path: &'static str, to: &'static str) -> Row {
    let (from, mode) = (From::Kept(path), 0o644);
    Row { from, to, mode }
}

/// The command line, which hosts that have no package of the workstation may want too. A program that its
/// user may not read is one that it may not trace either: PINs and passwords are typed into it.
pub const CLI: Row = built("latchkey", "/usr/bin/", 0o711);

const WORKSTATION: [Row; 16] = [
    CLI,
    built("latchkeyd", "/usr/sbin/", 0o755),
    // As the command line: a right to a signature passes through it.
    built("latchkey-login-helper", "/usr/libexec/latchkey/", 0o711),
    built(
        "liblatchkey_pkcs11.so",
        "/usr/lib/{multiarch}/pkcs11/",
        0o644,
    ),
    built(
        "libpam_latchkey.so",
        "/usr/lib/{multiarch}/security/pam_latchkey.so",
        0o644,
    ),
    PAM_PROFILE,
    kept("packaging/latchkey/device.toml", "/etc/latchkey/"),
    kept(
        "packaging/units/latchkeyd.service",
        "/usr/lib/systemd/system/",
    ),
    kept(
        "packaging/latchkey/krb5.conf",
        "/usr/share/doc/latchkey/examples/",
    ),
    kept(
        "packaging/policy-definitions/Latchkey.admx",
        "/usr/share/latchkey/policy-definitions/",
    ),
    kept(
        "packaging/policy-definitions/en-US/Latchkey.adml",
        "/usr/share/latchkey/policy-definitions/en-US/",
    ),
    kept("packaging/man/latchkeyd.8", "/usr/share/man/man8/"),
    kept("packaging/man/pam_latchkey.8", "/usr/share/man/man8/"),
    kept(
        "packaging/man/device.toml.5",
        "/usr/share/man/man5/latchkey-device.toml.5",
    ),
    kept("docs/install.md", "/usr/share/doc/latchkey/"),
    kept("CHANGELOG.md", "/usr/share/doc/latchkey/"),
];

/// What puts the PAM module into the stack, where `pam-auth-update` looks for it.
pub const PAM_PROFILE: Row = kept(
    "crates/pam-module/latchkey.pam-config",
    "/usr/share/pam-configs/latchkey",
);

const SERVER: [Row; 5] = [
    built("latchkey-server", "/usr/sbin/", 0o755),
    kept(
        "packaging/units/latchkey-server.service",
        "/usr/lib/systemd/system/",
    ),
    kept(
        "packaging/latchkey-server/server.toml",
        "/usr/share/doc/latchkey-server/examples/",
    ),
    kept(
        "packaging/man/server.toml.5",
        "/usr/share/man/man5/latchkey-server.toml.5",
    ),
    kept("CHANGELOG.md", "/usr/share/doc/latchkey-server/"),
];

const AGENT: [Row; 6] = [
    built("latchkey-sync", "/usr/sbin/", 0o755),
    kept(
        "packaging/units/latchkey-sync.service",
        "/usr/lib/systemd/system/",
    ),
    kept(
        "packaging/latchkey-sync/sync.toml",
        "/usr/share/doc/latchkey-sync/examples/",
    ),
    kept(
        "packaging/man/sync.toml.5",
        "/usr/share/man/man5/latchkey-sync.toml.5",
    ),
    kept("docs/agent.md", "/usr/share/doc/latchkey-sync/"),
    kept("CHANGELOG.md", "/usr/share/doc/latchkey-sync/"),
];

impl Package {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Workstation, Self::Server, Self::Agent];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workstation => "latchkey",
            Self::Server => "latchkey-server",
            Self::Agent => "latchkey-sync",
        }
    }

    /// Its files, but for those that are made while it is packed.
    #[must_use]
    pub const fn rows(self) -> &'static [Row] {
        match self {
            Self::Workstation => &WORKSTATION,
            Self::Server => &SERVER,
            Self::Agent => &AGENT,
        }
    }

    /// The crates of ours that its programs are built of.
    #[must_use]
    pub const fn crates(self) -> &'static [&'static str] {
        match self {
            Self::Workstation => &["cli", "device", "pam-module", "pkcs11-module"],
            Self::Server => &["server"],
            Self::Agent => &["sync"],
        }
    }

    /// The program that has subcommands, and the section of the manual that it belongs to.
    pub(crate) const fn command(self) -> (&'static str, u8) {
        match self {
            Self::Workstation => ("latchkey", 1),
            Self::Server => ("latchkey-server", 8),
            Self::Agent => ("latchkey-sync", 8),
        }
    }
}
