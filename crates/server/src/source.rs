//! Where a request comes from: the peer's address, or the device that has proved itself.

use std::net::IpAddr;

use model::Guid;

tokio::task_local! {
    /// The address of the peer whose request this task works on; none on a local socket.
    pub(crate) static PEER: Option<IpAddr>;
}

/// The address that the request at hand comes from.
pub(crate) fn address() -> Option<IpAddr> {
    PEER.try_with(|peer| *peer).unwrap_or_default()
}

/// Where somebody tries to sign in from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source(String);

impl Source {
    /// The device that has proved itself, or else the peer of the request at hand.
    pub(crate) fn of(device: Option<Guid>) -> Self {
        Self(match (device, address()) {
            (Some(device), _) => format!("device:{device}"),
            (None, Some(address)) => format!("address:{}", network(address)),
            (None, None) => "local".to_owned(),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one party has: an address, or in version 6 the 64 bits before the host's own.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_its_address_or_its_network_of_version_6() {
        for (address, party) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network(address).to_string(), party);
        }
    }
}
