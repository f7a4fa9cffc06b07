//! `latchkey-server check-config`: whether the server would start, and what will soon be wrong.
//!
//! Nothing is changed: a store of an older schema stays one.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    x509::X509,
};

use crate::{
    config::{self, Config},
    master::MasterKey,
    say, tls,
};

/// A certificate that ends within so many days is worth a word.
const SOON_DAYS: u32 = 21;

/// Looks whether the server would start.
#[derive(clap::Args)]
pub struct Args {
    /// The server's configuration.
    #[arg(long, default_value = config::PATH)]
    config: PathBuf,
}

/// Runs the verb: one line for each thing that was looked at.
pub fn main(args: &Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    let checks: [(&str, anyhow::Result<String>); 6] = [
        ("config", Ok(args.config.display().to_string())),
        (
            "url",
            config::check_url(&config.url).map(|_| config.url.clone()),
        ),
        ("certificate", certificate(&config)),
        ("master key", master_key(&config)),
        ("store", store(&config)),
        ("names", further_names(&config)),
    ];
    let mut failed = 0;
    for (name, outcome) in checks {
        match outcome {
            Ok(found) => say(&format!("ok    {name:12} {found}"))?,
            Err(error) => {
                failed += 1;
                say(&format!("WRONG {name:12} {error:#}"))?;
            }
        }
    }
    if failed > 0 {
        bail!("the server would not start, or not be reached");
    }
    Ok(())
}

/// The certificate that the server shows.
fn own_certificate(config: &Config) -> anyhow::Result<X509> {
    let pem = fs::read(&config.tls_cert)?;
    let first = X509::stack_from_pem(&pem)?.into_iter().next();
    first.context("it holds no certificate")
}

/// Those of the further names that the certificate is not for: nobody gets in by them.
pub(crate) fn unnamed(config: &Config, hosts: &[String]) -> anyhow::Result<Vec<String>> {
    let certificate = own_certificate(config)?;
    let mut unnamed = Vec::new();
    for name in hosts {
        let url = config::check_url(&format!("https://{name}"))?;
        if !names(&certificate, url.host().unwrap_or("")) {
            unnamed.push(name.clone());
        }
    }
    Ok(unnamed)
}

fn certificate(config: &Config) -> anyhow::Result<String> {
    tls::acceptor(&config.tls_cert, &config.tls_key, [])?;
    let certificate = own_certificate(config)?;
    let url = config::check_url(&config.url)?;
    let host = url.host().unwrap_or("");
    if !names(&certificate, host) {
        bail!("{} is not for {host}", config.tls_cert.display());
    }
    let end = certificate.not_after();
    if is_before(end, 0)? {
        bail!("{} has ended: {end}", config.tls_cert.display());
    }
    Ok(match is_before(end, SOON_DAYS)? {
        true => format!("for {host}, but it ends soon: {end}"),
        false => format!("for {host}, until {end}"),
    })
}

fn is_before(end: &Asn1TimeRef, days: u32) -> anyhow::Result<bool> {
    Ok(end < Asn1Time::days_from_now(days)?.as_ref())
}

/// Whether a certificate is for a host (RFC 6125 6.4): by a name, with `*` for a whole first label.
fn names(certificate: &X509, host: &str) -> bool {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    let names = certificate.subject_alt_names();
    names.into_iter().flatten().any(|name| {
        let is_name = name.dnsname().is_some_and(|name| {
            let of_all = name.strip_prefix("*.");
            name.eq_ignore_ascii_case(host)
                || of_all.is_some_and(|all| parent.is_some_and(|p| p.eq_ignore_ascii_case(all)))
        });
        let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let is_address = address.is_some_and(|address| match address {
            std::net::IpAddr::V4(v4) => name.ipaddress() == Some(&v4.octets()),
            std::net::IpAddr::V6(v6) => name.ipaddress() == Some(&v6.octets()),
        });
        is_name || is_address
    })
}

fn master_key(config: &Config) -> anyhow::Result<String> {
    let file = config.master_key_file();
    MasterKey::read(&file)?;
    Ok(file.display().to_string())
}

/// The schema's version, without bringing it up to date; whether the master key opens what is in the
/// store shows when the server starts.
fn store(config: &Config) -> anyhow::Result<String> {
    if config.postgres()?.is_some() {
        return Ok(format!("{} (not connected to)", config.store_named()));
    }
    let file = config.store_file();
    if !file.exists() {
        bail!("{} is not there: `init` makes it", file.display());
    }
    ::store::Store::check_sqlite(&file)?;
    Ok(file.display().to_string())
}

/// The further names under which the server is to be reached. One that the certificate is not for keeps
/// nobody else out, so that it is a word and no failure.
fn further_names(config: &Config) -> anyhow::Result<String> {
    let file = config.store_file();
    if config.postgres()?.is_some() || !file.exists() {
        return Ok("(not looked at)".to_owned());
    }
    let hosts = ::store::Store::check_sqlite(&file)?;
    Ok(match unnamed(config, &hosts)?.join(", ") {
        unnamed if !unnamed.is_empty() => format!("but the certificate is not for {unnamed}"),
        _ if hosts.is_empty() => "none beside the URL's".to_owned(),
        _ => hosts.join(", "),
    })
}
