//! What runs in a lab, for people and for machines.

use serde::Serialize;

use super::Lab;
use super::address::address;

/// A lab as it is now.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The lab's name.
    pub name: String,
    /// The version of Samba on the domain controller.
    pub samba: String,
    /// Its hosts, by name.
    pub hosts: Vec<HostStatus>,
}

/// One host of it.
#[derive(Debug, Serialize)]
pub struct HostStatus {
    /// The short name.
    pub name: String,
    /// The address on the lab's bridge.
    pub address: String,
    /// Whether its first process runs.
    pub up: bool,
    /// Its daemons, each with whether it runs.
    pub daemons: Vec<(String, bool)>,
}

impl Lab {
    /// What runs now.
    #[must_use]
    pub fn status(&self) -> Status {
        let hosts = self.hosts().into_iter().map(|host| HostStatus {
            address: address(&host.name).unwrap_or_default(),
            up: host.init.is_alive(),
            daemons: host
                .daemons()
                .into_iter()
                .map(|d| (d.clone(), host.pid(&d).is_some()))
                .collect(),
            name: host.name,
        });
        Status {
            name: self.name.clone(),
            samba: self.samba().to_owned(),
            hosts: hosts.collect(),
        }
    }
}
