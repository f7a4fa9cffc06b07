//! What a domain controller's certificate must be, one rule at a time. Pure: what was found goes
//! in, a finding for each rule comes out.

use model::UnixTime;
use openssl::{
    asn1::Asn1Time,
    error::ErrorStack,
    nid::Nid,
    pkey::PKey,
    stack::Stack,
    x509::{
        CrlStatus, X509, X509Crl, X509KeyUsage, X509Ref, X509StoreContext, X509VerifyResult,
        store::X509StoreBuilder,
        verify::{X509VerifyFlags, X509VerifyParam},
    },
};
use serde::Serialize;

use super::der;

/// What the domain says.
pub(crate) struct Domain {
    /// Its DNS name.
    pub(crate) name: String,
    /// Its NetBIOS name.
    pub(crate) netbios: String,
    /// NTAuthCertificates.
    pub(crate) nt_auth: Vec<X509>,
    /// Certification Authorities.
    pub(crate) roots: Vec<X509>,
}

/// A domain controller and its certificate.
pub(crate) struct Shown<'a> {
    /// Its DNS name.
    pub(crate) host: &'a str,
    /// The DN of its account.
    pub(crate) dn: &'a str,
    /// The certificate.
    pub(crate) certificate: &'a X509,
    /// The revocation list of the certificate's first address, or why there is none.
    pub(crate) list: &'a Result<Vec<u8>, String>,
}

/// How a rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// As it must be.
    Pass,
    /// Not so.
    Fail,
    /// What it takes to know is not at hand.
    NotJudged,
}

/// One rule.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Which.
    pub(crate) rule: &'static str,
    /// How it came out.
    pub(crate) verdict: Verdict,
    /// What was found, in words.
    pub(crate) detail: String,
}

impl Finding {
    /// A rule that is kept or not.
    pub(crate) fn of(rule: &'static str, kept: bool, detail: impl Into<String>) -> Self {
        let verdict = if kept { Verdict::Pass } else { Verdict::Fail };
        Self {
            rule,
            verdict,
            detail: detail.into(),
        }
    }

    /// A rule that nothing can be said of.
    pub(crate) fn open(rule: &'static str, why: &str) -> Self {
        Self {
            rule,
            verdict: Verdict::NotJudged,
            detail: why.to_owned(),
        }
    }
}

/// The rules of a certificate, in the order of the findings.
pub(crate) const RULES: [&str; 19] = [
    "validity",
    "key",
    "signature-hash",
    "key-usage",
    "end-entity",
    "purpose-kdc",
    "purpose-server",
    "purpose-client",
    "name-of-host",
    "name-of-domain",
    "name-for-windows",
    "crl-address",
    "crl-reachable",
    "crl-signed",
    "crl-current",
    "not-revoked",
    "issuer-in-ntauth",
    "root-in-directory",
    "chain",
];

/// The address where a certificate's revocation list is: the first, for only that is tried by all.
pub(crate) fn list_address(certificate: &X509Ref) -> Option<String> {
    let points = certificate.crl_distribution_points()?;
    let names = points.iter().next()?.distpoint()?.fullname()?;
    names.iter().find_map(|name| name.uri().map(str::to_owned))
}

/// Judges a certificate.
pub(crate) fn judge(
    domain: &Domain,
    shown: &Shown<'_>,
    now: UnixTime,
) -> Result<Vec<Finding>, ErrorStack> {
    let mut findings = Vec::from(content(shown.certificate, now)?);
    findings.extend(names(domain, shown));
    let known = || domain.nt_auth.iter().chain(&domain.roots);
    let issuer = known().find(|authority| has_issued(authority, shown.certificate));
    findings.extend(revocation(shown, issuer, now)?);
    let in_nt_auth = domain.nt_auth.iter();
    let in_nt_auth = in_nt_auth
        .filter(|authority| has_issued(authority, shown.certificate))
        .count();
    findings.push(Finding::of(
        "issuer-in-ntauth",
        in_nt_auth > 0,
        format!("issued by {}", subject(shown.certificate.issuer_name())),
    ));
    let chain = chain(domain, shown.certificate, now)?;
    // An expired certificate has a root all the same.
    let rooted = chain == X509VerifyResult::OK || is_about_time(chain);
    findings.push(Finding::of(
        "root-in-directory",
        rooted,
        if rooted {
            "its root is among the Certification Authorities"
        } else {
            chain.error_string()
        },
    ));
    findings.push(Finding::of(
        "chain",
        chain == X509VerifyResult::OK,
        chain.error_string(),
    ));
    Ok(findings)
}

fn content(certificate: &X509Ref, now: UnixTime) -> Result<[Finding; 8], ErrorStack> {
    let time = Asn1Time::from_unix(now.0)?;
    let (begin, end) = (certificate.not_before(), certificate.not_after());
    let key = certificate.public_key()?;
    let rsa = key.rsa().is_ok();
    let algorithm = certificate.signature_algorithm().object().nid();
    let digest = algorithm.signature_algorithms().map(|found| found.digest);
    let good_digest = matches!(digest, Some(Nid::SHA256 | Nid::SHA384 | Nid::SHA512));
    let usage = certificate.key_usage();
    let wanted = X509KeyUsage::DIGITAL_SIGNATURE | X509KeyUsage::KEY_ENCIPHERMENT;
    let der = certificate.to_der()?;
    let purposes = der::purposes(&der);
    let purpose = |rule, id: &[u8], name: &str| {
        let found = purposes.contains(&id);
        let detail = if found {
            name.to_owned()
        } else {
            format!("lacks {name}")
        };
        Finding::of(rule, found, detail)
    };
    let authority = der::is_authority(&der);
    Ok([
        Finding::of(
            "validity",
            *begin <= time && time < *end,
            format!("from {begin} to {end}"),
        ),
        Finding::of(
            "key",
            rsa && key.bits() >= 2048,
            format!(
                "{} {} bits",
                if rsa { "RSA" } else { "not RSA," },
                key.bits()
            ),
        ),
        Finding::of(
            "signature-hash",
            good_digest,
            algorithm.long_name().unwrap_or("unknown"),
        ),
        Finding::of(
            "key-usage",
            usage.is_some_and(|usage| usage.contains(wanted)),
            "wants digital signature and key encipherment",
        ),
        Finding::of(
            "end-entity",
            !authority,
            if authority {
                "it is an authority's"
            } else {
                "no authority's"
            },
        ),
        purpose(
            "purpose-kdc",
            der::KDC,
            "KDC authentication (1.3.6.1.5.2.3.5)",
        ),
        purpose(
            "purpose-server",
            der::SERVER,
            "server authentication (1.3.6.1.5.5.7.3.1)",
        ),
        purpose(
            "purpose-client",
            der::CLIENT,
            "client authentication (1.3.6.1.5.5.7.3.2)",
        ),
    ])
}

fn names(domain: &Domain, shown: &Shown<'_>) -> [Finding; 3] {
    let list = shown.certificate.subject_alt_names();
    let dns: Vec<&str> = list
        .iter()
        .flatten()
        .filter_map(|name| name.dnsname())
        .collect();
    let has = |wanted: &str| dns.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    let all = || format!("DNS names: {}", dns.join(", "));
    let by_subject = dn(shown.certificate.subject_name()).eq_ignore_ascii_case(shown.dn);
    [
        Finding::of("name-of-host", has(shown.host), all()),
        Finding::of("name-of-domain", has(&domain.name), all()),
        Finding::of(
            "name-for-windows",
            by_subject || has(&domain.netbios),
            format!(
                "wants the DNS name {} or the subject {}",
                domain.netbios, shown.dn
            ),
        ),
    ]
}

fn revocation(
    shown: &Shown<'_>,
    issuer: Option<&X509>,
    now: UnixTime,
) -> Result<Vec<Finding>, ErrorStack> {
    let address = list_address(shown.certificate);
    let plain = address
        .as_deref()
        .is_some_and(|url| url.starts_with("http://"));
    let mut findings = vec![Finding::of(
        "crl-address",
        plain,
        address.as_deref().unwrap_or("none").to_owned(),
    )];
    let read = shown.list.as_ref().map_err(String::clone).and_then(|list| {
        X509Crl::from_der(list)
            .or_else(|_| X509Crl::from_pem(list))
            .map_err(|_| "what is there is no revocation list".to_owned())
    });
    let list = match read {
        Ok(list) => list,
        Err(why) => {
            findings.push(Finding::of("crl-reachable", false, why));
            let rest = ["crl-signed", "crl-current", "not-revoked"];
            findings.extend(rest.map(|rule| Finding::open(rule, "there is no revocation list")));
            return Ok(findings);
        }
    };
    findings.push(Finding::of("crl-reachable", true, "without signing in"));
    let signed = match issuer {
        Some(issuer) => Some(list.verify(&*issuer.public_key()?).unwrap_or(false)),
        None => None,
    };
    findings.push(match signed {
        Some(signed) => Finding::of("crl-signed", signed, "by the certificate's issuer"),
        None => Finding::open("crl-signed", "the directory does not have the issuer"),
    });
    let (time, next) = (Asn1Time::from_unix(now.0)?, list.next_update());
    let current = *list.last_update() <= time && next.is_some_and(|next| time < *next);
    let until = next.map_or("no end".to_owned(), ToString::to_string);
    let detail = format!("from {} to {until}", list.last_update());
    findings.push(Finding::of("crl-current", current, detail));
    let status = list.get_by_serial(shown.certificate.serial_number());
    let revoked = matches!(status, CrlStatus::Revoked(_));
    findings.push(Finding::of(
        "not-revoked",
        !revoked,
        if revoked {
            "it is on the list"
        } else {
            "it is not on the list"
        },
    ));
    Ok(findings)
}

fn has_issued(authority: &X509, certificate: &X509) -> bool {
    let key = authority.public_key();
    authority.issued(certificate) == X509VerifyResult::OK
        && key.is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

/// Whether the certificate leads to one of the directory's roots, and if not why not.
fn chain(
    domain: &Domain,
    certificate: &X509Ref,
    now: UnixTime,
) -> Result<X509VerifyResult, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for root in &domain.roots {
        store.add_cert(root.clone())?;
    }
    let mut when = X509VerifyParam::new()?;
    when.set_time(now.0);
    when.set_flags(X509VerifyFlags::X509_STRICT)?;
    store.set_param(&when)?;
    let mut between = Stack::new()?;
    for authority in &domain.nt_auth {
        between.push(authority.clone())?;
    }
    X509StoreContext::new()?.init(&store.build(), certificate, &between, |context| {
        context.verify_cert()?;
        Ok(context.error())
    })
}

fn is_about_time(result: X509VerifyResult) -> bool {
    const NOT_YET_VALID: i32 = 9;
    const EXPIRED: i32 = 10;
    [NOT_YET_VALID, EXPIRED].contains(&result.as_raw())
}

/// A name as people read it.
fn subject(name: &openssl::x509::X509NameRef) -> String {
    let parts: Vec<String> = name.entries().map(part).collect();
    parts.join(", ")
}

/// A name as the directory writes it: the last part first.
fn dn(name: &openssl::x509::X509NameRef) -> String {
    let mut parts: Vec<String> = name.entries().map(part).collect();
    parts.reverse();
    parts.join(",")
}

fn part(entry: &openssl::x509::X509NameEntryRef) -> String {
    let kind = entry.object().nid().short_name().unwrap_or("?");
    let value = entry.data().to_string();
    format!("{kind}={}", value.unwrap_or_default())
}

/// Whether a private key in PEM is that of a certificate.
pub(crate) fn belongs(key: &[u8], certificate: &X509Ref) -> bool {
    let (Ok(key), Ok(public)) = (PKey::private_key_from_pem(key), certificate.public_key()) else {
        return false;
    };
    key.public_eq(&public)
}
