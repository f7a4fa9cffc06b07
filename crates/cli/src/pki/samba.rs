//! A certificate into Samba's KDC, and what keeps it from running out.
//!
//! *Invariant:* of Samba's Kerberos configuration only three lines of `[kdc]` are ours; anchors
//! that are there already stay, for they say whose client certificates the KDC takes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use openssl::x509::X509;
use zeroize::Zeroizing;

use super::{arguments::IssueDc, folder, rules};

/// Where a domain controller has what its KDC shows.
pub(crate) struct Place {
    private: PathBuf,
    folder: PathBuf,
    configuration: PathBuf,
}

/// What the KDC is told by its configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Configured {
    /// Whether it offers sign-in by key at all.
    pub(crate) enabled: bool,
    /// The file of its certificate.
    pub(crate) certificate: Option<PathBuf>,
    /// The file of its key.
    pub(crate) key: Option<PathBuf>,
    /// The first file of its anchors.
    pub(crate) anchors: Option<PathBuf>,
}

impl Place {
    /// Beside the private folder of Samba, in this configuration.
    pub(crate) fn new(private: &Path, configuration: &Path) -> Self {
        Self {
            private: private.to_owned(),
            folder: private.join("latchkey-kdc"),
            configuration: configuration.to_owned(),
        }
    }

    /// Where the certificate is.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("kdc.crt")
    }

    /// The certificate that is there, if its key is there too: an installation that was broken off
    /// may have left one without the other.
    pub(crate) fn current(&self) -> Option<X509> {
        let certificate = X509::from_pem(&fs::read(self.certificate()).ok()?).ok()?;
        let key = Zeroizing::new(fs::read(self.key()).ok()?);
        rules::belongs(&key, &certificate).then_some(certificate)
    }

    fn key(&self) -> PathBuf {
        self.folder.join("kdc.key")
    }

    /// Puts certificate, key and the authority's certificate there and tells the KDC.
    pub(crate) fn install(
        &self,
        certificate: &[u8],
        key: &[u8],
        authority: &[u8],
    ) -> anyhow::Result<()> {
        if !self.private.is_dir() {
            bail!(
                "{} is no folder: is this a domain controller of Samba's?",
                self.private.display()
            );
        }
        // Before anything is written: a file that cannot be read is not ours to replace. Often it
        // is a link into Samba's private folder, and stays one.
        let configuration = fs::canonicalize(&self.configuration)
            .with_context(|| self.configuration.display().to_string())?;
        let before = fs::read_to_string(&configuration)
            .with_context(|| configuration.display().to_string())?;
        folder::make_folder(&self.folder)?;
        let (key_file, authority_file) = (self.key(), self.folder.join("kdc-ca.crt"));
        folder::write(&key_file, key, folder::PRIVATE)?;
        folder::write(&self.certificate(), certificate, folder::PUBLIC)?;
        folder::write(&authority_file, authority, folder::PUBLIC)?;
        let identity = format!(
            "FILE:{},{}",
            self.certificate().display(),
            key_file.display()
        );
        let anchors = format!("FILE:{}", authority_file.display());
        let after = told(&before, &identity, &anchors);
        if after == before {
            return Ok(());
        }
        folder::write(&configuration, after.as_bytes(), folder::PUBLIC)
    }
}

/// The configuration `text` with a KDC that shows `identity`.
fn told(text: &str, identity: &str, anchors: &str) -> String {
    let anchors = match value(text, "pkinit_anchors") {
        Some(kept) => kept.to_owned(),
        None => anchors.to_owned(),
    };
    let ours = [
        ("enable-pkinit", "yes"),
        ("pkinit_identity", identity),
        ("pkinit_anchors", &anchors),
    ];
    let lines: String = ours
        .iter()
        .map(|(name, value)| format!("    {name} = {value}\n"))
        .collect();
    let (mut out, mut within, mut done) = (String::new(), false, false);
    for line in text.lines() {
        if let Some(section) = section(line) {
            within = section == "kdc";
        }
        if within && ours.iter().any(|(name, _)| setting(line, name).is_some()) {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if within && !done {
            out.push_str(&lines);
            done = true;
        }
    }
    if !done {
        out.push_str("\n[kdc]\n");
        out.push_str(&lines);
    }
    out
}

/// What a configuration tells the KDC.
pub(crate) fn configured(text: &str) -> Configured {
    let file = |value: &str| value.strip_prefix("FILE:").map(str::to_owned);
    let identity = value(text, "pkinit_identity").and_then(file);
    let (certificate, key) = match identity.as_deref().map(|files| files.split_once(',')) {
        Some(Some((certificate, key))) => (Some(certificate), Some(key)),
        // One file has both.
        Some(None) => (identity.as_deref(), identity.as_deref()),
        None => (None, None),
    };
    let enabled = value(text, "enable-pkinit").unwrap_or_default();
    let enabled = ["yes", "true", "on", "1"]
        .iter()
        .any(|yes| enabled.eq_ignore_ascii_case(yes));
    let anchors = value(text, "pkinit_anchors").and_then(|value| value.split_whitespace().next());
    Configured {
        enabled,
        certificate: certificate.map(|file| PathBuf::from(file.trim())),
        key: key.map(|file| PathBuf::from(file.trim())),
        anchors: anchors.and_then(file).map(PathBuf::from),
    }
}

/// The first value of a name in `[kdc]`.
fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut within = false;
    text.lines().find_map(|line| {
        if let Some(section) = section(line) {
            within = section == "kdc";
        }
        setting(line, name).filter(|_| within)
    })
}

fn section(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.split_once(']')?.0;
    Some(name.trim())
}

/// The value of a line that sets `name`; a comment sets nothing.
fn setting<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (found, value) = line.split_once('=')?;
    (found.trim() == name).then_some(value.trim())
}

/// The two files of systemd's that repeat this issuance before the certificate runs out.
pub(crate) fn timer(pki: &Path, how: &IssueDc) -> anyhow::Result<[(&'static str, String); 2]> {
    let (folder, host) = (word(pki)?, &how.host);
    let mut again = format!(
        "/usr/bin/latchkey pki --dir {folder} issue-dc {host} --days {} --install --if-due \\\n    \
         --samba-private {} --krb5-conf {} --restart {}",
        how.days,
        word(&how.samba_private)?,
        word(&how.krb5_conf)?,
        how.restart.as_deref().unwrap_or(SAMBA),
    );
    for (name, value) in [("--domain", &how.domain), ("--netbios", &how.netbios)] {
        if let Some(value) = value {
            again.push_str(&format!(" {name} {value}"));
        }
    }
    if how.kdc_san {
        again.push_str(" --kdc-san");
    }
    let service = format!(
        "[Unit]\n\
         Description=Certificate and revocation list of this domain controller's KDC\n\n\
         [Service]\n\
         Type=oneshot\n\
         UMask=0077\n\
         NoNewPrivileges=yes\n\
         ExecStart=/usr/bin/latchkey pki --dir {folder} crl renew\n\
         ExecStart={again}\n"
    );
    let timer = "[Unit]\n\
         Description=Renews the certificate of this domain controller's KDC in time\n\n\
         [Timer]\n\
         OnCalendar=daily\n\
         RandomizedDelaySec=1h\n\
         Persistent=yes\n\n\
         [Install]\n\
         WantedBy=timers.target\n";
    Ok([
        ("latchkey-pki.service", service),
        ("latchkey-pki.timer", timer.to_owned()),
    ])
}

/// A path that means the same in a unit file.
fn word(path: &Path) -> anyhow::Result<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    path.to_str()
        .filter(|text| text.starts_with('/') && text.chars().all(plain))
        .with_context(|| format!("{} cannot be written into a unit", path.display()))
}

/// The unit of Samba's domain controller.
pub(crate) const SAMBA: &str = "samba-ad-dc.service";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{
        super::arguments::{Pki, Verb},
        *,
    };

    const FOREIGN: &str = "[libdefaults]\n  default_realm = CORP.EXAMPLE\n\n[kdc]\n  # ours\n  \
        kdc_warn_pwexpire = 7d\n  pkinit_identity = FILE:/old.crt,/old.key\n  \
        pkinit_anchors = FILE:/people.crt\n\n[logging]\n  kdc = FILE:/log\n";

    #[test]
    fn a_configuration_without_a_kdc_gets_one_and_is_then_left_alone() {
        let text = "[libdefaults]\n  default_realm = CORP.EXAMPLE\n";
        let once = told(text, "FILE:/k.crt,/k.key", "FILE:/ca.crt");
        let read = configured(&once);
        assert_eq!(
            read,
            Configured {
                enabled: true,
                certificate: Some("/k.crt".into()),
                key: Some("/k.key".into()),
                anchors: Some("/ca.crt".into()),
            }
        );
        assert!(once.starts_with(text));
        assert_eq!(told(&once, "FILE:/k.crt,/k.key", "FILE:/ca.crt"), once);
    }

    #[test]
    fn lines_of_others_and_their_anchors_stay() {
        let once = told(FOREIGN, "FILE:/k.crt,/k.key", "FILE:/ca.crt");
        let read = configured(&once);
        assert_eq!(read.certificate.as_deref(), Some(Path::new("/k.crt")));
        assert_eq!(read.anchors.as_deref(), Some(Path::new("/people.crt")));
        for kept in [
            "default_realm",
            "# ours",
            "kdc_warn_pwexpire = 7d",
            "FILE:/log",
        ] {
            assert!(once.contains(kept), "{once}");
        }
        assert!(!once.contains("old.crt"), "{once}");
        assert_eq!(told(&once, "FILE:/k.crt,/k.key", "FILE:/ca.crt"), once);
    }

    #[test]
    fn what_is_commented_out_or_elsewhere_configures_nothing() {
        let text = "[realms]\n enable-pkinit = yes\n[kdc]\n # enable-pkinit = yes\n";
        assert_eq!(configured(text), Configured::default());
    }

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        pki: Pki,
    }

    #[test]
    fn the_units_repeat_what_was_typed() {
        let line = "pki issue-dc dc.corp.example --kdc-san --netbios corp --install --timer";
        let typed = Typed::try_parse_from(line.split(' ')).unwrap().pki;
        let Verb::IssueDc(how) = typed.verb else {
            unreachable!("issue-dc is typed")
        };
        let [(_, service), (_, schedule)] = timer(&typed.dir, &how).unwrap();
        let again = service
            .lines()
            .skip_while(|line| !line.contains("issue-dc"))
            .collect::<String>();
        for part in [
            "--dir /var/lib/latchkey-pki issue-dc dc.corp.example",
            "--install --if-due",
            "--restart samba-ad-dc.service",
            "--netbios CORP",
            "--kdc-san",
        ] {
            assert!(again.contains(part), "{again}");
        }
        assert!(service.contains("crl renew"), "{service}");
        assert!(schedule.contains("OnCalendar=daily"), "{schedule}");
        assert!(timer(Path::new("/var/lib/a b"), &how).is_err());
    }
}
