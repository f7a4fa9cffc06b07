//! `latchkey pki check`: every domain controller's certificate against the rules.
//!
//! A KDC shows its certificate only to somebody who signs in by a key, so it cannot be fetched
//! like a web server's. It is judged where it lies: on the domain controller itself, from a file
//! that was brought, or on a workstation as the last sign-in at that domain controller saw it. Of
//! the others it is said that they were not judged.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::{Directory, DomainController};
use model::UnixTime;
use openssl::{asn1::Asn1Time, x509::X509};
use serde::Serialize;

use super::{
    arguments::Check,
    fetch, folder, here,
    rules::{self, Domain, Finding, RULES, Shown, Verdict},
    samba,
};
use crate::{daemon, output::Output};

/// What was found.
#[derive(Serialize)]
struct Report {
    domain: String,
    /// Every rule was judged and is kept.
    passed: bool,
    not_judged: usize,
    domain_controllers: Vec<Judged>,
}

/// What was found of one domain controller.
#[derive(Serialize)]
struct Judged {
    host: String,
    /// Where the certificate was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    rules: Vec<Finding>,
}

/// A certificate and where it was read.
struct Found {
    source: String,
    certificate: X509,
}

pub(crate) fn check(how: Check, output: &Output, now: UnixTime) -> anyhow::Result<()> {
    let brought = how
        .certificate
        .into_iter()
        .map(|source| {
            let certificate = read_certificate(&source)?;
            Ok(Found {
                source: source.display().to_string(),
                certificate,
            })
        })
        .collect::<anyhow::Result<Vec<Found>>>()?;
    let seen = seen();
    let (domain, controllers) = here::with_directory(&how.domain, facts)?;
    let mut report = Report {
        domain: domain.name.clone(),
        passed: true,
        not_judged: 0,
        domain_controllers: Vec::new(),
    };
    let own = here::host_name();
    for controller in &controllers {
        let judged = match brought.iter().find(|found| names(found, controller)) {
            Some(found) => certificate(&domain, controller, found, now)?,
            None if is(&own, controller) => local(&domain, controller, &how.krb5_conf, now)?,
            None => match seen.iter().find(|(host, _)| is(host, controller)) {
                Some((_, found)) => certificate(&domain, controller, found, now)?,
                None => unknown(controller, Vec::new(), ELSEWHERE),
            },
        };
        report.domain_controllers.push(judged);
    }
    if let Some(stranger) = brought
        .iter()
        .find(|found| !controllers.iter().any(|known| names(found, known)))
    {
        bail!(
            "{}: names no domain controller of {}",
            stranger.source,
            domain.name
        );
    }
    let of = |verdict| {
        let findings = report.domain_controllers.iter();
        let findings = findings.flat_map(|judged| &judged.rules);
        findings.filter(|found| found.verdict == verdict).count()
    };
    let failed = of(Verdict::Fail);
    report.not_judged = of(Verdict::NotJudged);
    report.passed = failed == 0 && report.not_judged == 0;
    output.result(&report, || text(&report))?;
    if failed > 0 {
        bail!("{failed} rules are not kept");
    }
    Ok(())
}

const ELSEWHERE: &str = "its KDC shows the certificate only to who signs in: sign in there with a \
                         PIN, run this on the domain controller, or bring --certificate";

/// What sign-ins on this workstation saw of domain controllers, where it is one and root asks.
fn seen() -> Vec<(String, Found)> {
    let Ok(answer) = daemon::ask(&ipc::KdcList {}, daemon::QUICK) else {
        return Vec::new();
    };
    let read = |kdc: ipc::KdcInfo| {
        let der = STANDARD.decode(&kdc.certificate).ok()?;
        let certificate = X509::from_der(&der).ok()?;
        let seen = Asn1Time::from_unix(kdc.seen).ok()?;
        let source = format!("a sign-in, {}", &*seen);
        Some((
            kdc.host,
            Found {
                source,
                certificate,
            },
        ))
    };
    answer.kdcs.into_iter().filter_map(read).collect()
}

async fn facts(directory: Directory) -> anyhow::Result<(Domain, Vec<DomainController>)> {
    let authorities = directory.authorities().await?;
    let domain = Domain {
        name: directory.domain().dns_name.clone(),
        netbios: directory.domain().netbios_name.clone(),
        nt_auth: parse(&authorities.nt_auth)?,
        roots: parse(&authorities.roots)?,
    };
    Ok((domain, directory.domain_controllers().await?))
}

fn parse(certificates: &[Vec<u8>]) -> anyhow::Result<Vec<X509>> {
    let read = certificates.iter().map(|der| X509::from_der(der));
    Ok(read.collect::<Result<_, _>>()?)
}

/// The domain controller that this runs on, by its KDC's configuration.
fn local(
    domain: &Domain,
    controller: &DomainController,
    configuration: &Path,
    now: UnixTime,
) -> anyhow::Result<Judged> {
    let text = folder::read(configuration)?;
    let told = samba::configured(&String::from_utf8_lossy(&text));
    let anchors = told.anchors.as_deref().map(read_certificate);
    let mut kdc = vec![
        Finding::of(
            "kdc-offers-keys",
            told.enabled,
            format!("enable-pkinit in {}", configuration.display()),
        ),
        Finding::of(
            "kdc-anchors",
            anchors.is_some_and(|read| read.is_ok()),
            "pkinit_anchors must name a file with a certificate",
        ),
    ];
    let read = told
        .certificate
        .context("pkinit_identity names no file")
        .and_then(|source| {
            let certificate = read_certificate(&source)?;
            Ok(Found {
                source: source.display().to_string(),
                certificate,
            })
        });
    let found = match read {
        Ok(found) => found,
        Err(error) => {
            kdc.push(Finding::of("kdc-certificate", false, format!("{error:#}")));
            return Ok(unknown(controller, kdc, "there is no certificate"));
        }
    };
    kdc.push(Finding::of("kdc-certificate", true, found.source.clone()));
    let key = told.key.and_then(|file| fs::read(file).ok());
    let belongs = key
        .map(zeroize::Zeroizing::new)
        .is_some_and(|key| rules::belongs(&key, &found.certificate));
    kdc.push(Finding::of(
        "kdc-key",
        belongs,
        "the private key must be there and the certificate's",
    ));
    let mut judged = certificate(domain, controller, &found, now)?;
    kdc.append(&mut judged.rules);
    judged.rules = kdc;
    Ok(judged)
}

fn certificate(
    domain: &Domain,
    controller: &DomainController,
    found: &Found,
    now: UnixTime,
) -> anyhow::Result<Judged> {
    let list = match rules::list_address(&found.certificate) {
        Some(url) => fetch::fetch(&url).map_err(|error| format!("{error:#}")),
        None => Err("the certificate names no address".to_owned()),
    };
    let shown = Shown {
        host: &controller.host,
        dn: &controller.dn,
        certificate: &found.certificate,
        list: &list,
    };
    Ok(Judged {
        host: controller.host.clone(),
        source: Some(found.source.clone()),
        serial: Some(folder::serial(&found.certificate)?),
        rules: rules::judge(domain, &shown, now)?,
    })
}

fn unknown(controller: &DomainController, mut rules: Vec<Finding>, why: &str) -> Judged {
    rules.extend(RULES.map(|rule| Finding::open(rule, why)));
    Judged {
        host: controller.host.clone(),
        source: None,
        serial: None,
        rules,
    }
}

/// Whether a certificate that was brought is for this domain controller.
fn names(found: &Found, controller: &DomainController) -> bool {
    let list = found.certificate.subject_alt_names();
    let mut dns = list.iter().flatten().filter_map(|name| name.dnsname());
    dns.any(|name| name.eq_ignore_ascii_case(&controller.host))
}

/// Whether a machine that calls itself `name` is this domain controller.
fn is(name: &str, controller: &DomainController) -> bool {
    let first = controller.host.split('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case(&controller.host) || name.eq_ignore_ascii_case(first)
}

fn read_certificate(path: &Path) -> anyhow::Result<X509> {
    let bytes = folder::read(path)?;
    X509::from_pem(&bytes)
        .or_else(|_| X509::from_der(&bytes))
        .with_context(|| format!("{} holds no certificate", path.display()))
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for judged in &report.domain_controllers {
        let source = judged.source.as_deref().unwrap_or("no certificate");
        let _ = writeln!(text, "{} ({source})", judged.host);
        for found in &judged.rules {
            let verdict = match found.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "FAIL",
                Verdict::NotJudged => "not judged",
            };
            let _ = writeln!(text, "  {verdict:<11}{:<19}{}", found.rule, found.detail);
        }
    }
    if report.not_judged > 0 {
        let _ = writeln!(text, "{} rules were not judged", report.not_judged);
    }
    text
}
