//! The service manager is told that the agent is ready, and that it is alive (sd_notify(3)).

use std::{env, os::linux::net::SocketAddrExt as _, os::unix::net, time::Duration};

/// Says a state, to a service manager that waits for it.
pub fn tell(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let told = net::UnixDatagram::unbound().and_then(|socket| {
        let name = path.as_encoded_bytes();
        let address = match name.strip_prefix(b"@") {
            Some(name) => net::SocketAddr::from_abstract_name(name)?,
            None => net::SocketAddr::from_pathname(&path)?,
        };
        socket.send_to_addr(state.as_bytes(), &address)
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Says for ever that the program's loops go round, twice as often as is asked for.
pub async fn keep_alive() {
    let period = env::var("WATCHDOG_USEC")
        .ok()
        .and_then(|text| text.parse().ok());
    let Some(period) = period.map(Duration::from_micros) else {
        return std::future::pending().await;
    };
    loop {
        tell("WATCHDOG=1");
        tokio::time::sleep(period / 2).await;
    }
}
