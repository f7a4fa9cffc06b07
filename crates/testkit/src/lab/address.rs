//! Names and addresses of the lab, fixed so that a log of one run reads like that of any other.

use anyhow::{Context, Result, bail};

/// The Kerberos realm.
pub const REALM: &str = "CORP.LATCHKEY.TEST";
/// The domain's short name.
pub const NETBIOS: &str = "CORP";
/// The domain's DNS name.
pub const DOMAIN: &str = "corp.latchkey.test";
/// The domain's distinguished name.
pub const BASE_DN: &str = "DC=corp,DC=latchkey,DC=test";
/// Every host is `PREFIX` and one number.
pub const PREFIX: &str = "10.77.0.";

/// What a host is for, which its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A Samba domain controller.
    DomainController,
    /// The machine of `latchkey-server` and `latchkey-sync`.
    Server,
    /// A person's machine, joined to the domain.
    Workstation,
    /// A machine that nobody asked in: on the network, and no member of the domain.
    Stranger,
}

/// The role that a host's name stands for.
///
/// # Errors
/// When the name is none of the lab's.
pub fn role(host: &str) -> Result<Role> {
    match host {
        "dc" | "dc2" | "rodc" => Ok(Role::DomainController),
        "server" => Ok(Role::Server),
        "stranger" => Ok(Role::Stranger),
        _ if host.starts_with("ws") => number(host).map(|_| Role::Workstation),
        _ => bail!("the lab has no host {host}: dc, dc2, rodc, server, stranger, ws1, ws2, …"),
    }
}

/// The last number of a host's address.
///
/// # Errors
/// When the name is none of the lab's.
pub fn number(host: &str) -> Result<u8> {
    match host {
        "dc" => Ok(10),
        "dc2" => Ok(11),
        "rodc" => Ok(12),
        "server" => Ok(20),
        "stranger" => Ok(99),
        _ => {
            let count = host
                .strip_prefix("ws")
                .and_then(|count| count.parse::<u8>().ok());
            let count = count.filter(|count| (1..=50).contains(count));
            Ok(30 + count.with_context(|| format!("the lab has no host {host}"))?)
        }
    }
}

/// A host's address.
///
/// # Errors
/// When the name is none of the lab's.
pub fn address(host: &str) -> Result<String> {
    Ok(format!("{PREFIX}{}", number(host)?))
}

/// A host's full name.
#[must_use]
pub fn full_name(host: &str) -> String {
    format!("{host}.{DOMAIN}")
}

#[cfg(test)]
mod tests;
