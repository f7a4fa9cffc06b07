//! Group policy from the domain controller to the person at the machine. The objects are made with
//! Samba's own tools, so that none of ours is judged by itself.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::company::{Company, refused, text};
use testkit::lab::{Call, KdcCertificate, Profile};

use crate::company;

const PIN: &str = "161803398874";
const DOMAIN: &str = "DC=corp,DC=latchkey,DC=test";
const HELLO: &str = r"Software\Policies\Microsoft\PassportForWork";
/// Apply group policy (MS-GPOL 1.9), as an entry for whoever follows.
const APPLY: &str = "OA;CI;CR;edacfd8f-ffb3-11d1-b41d-00a0c968f939;;";

/// A group policy object at the domain; it is deleted in the end.
pub(super) struct Object<'a> {
    company: &'a Company,
    guid: String,
}

impl<'a> Object<'a> {
    /// Makes one with these values and links it, for everybody.
    pub(super) fn linked(company: &'a Company, name: &str, values: &[Value]) -> Result<Self> {
        let said = administer(company, &["gpo", "create", name])?;
        let guid = said
            .split('{')
            .nth(1)
            .and_then(|rest| rest.split('}').next());
        let guid = guid.with_context(|| format!("no GUID in {said}"))?;
        let object = Self {
            company,
            guid: format!("{{{guid}}}"),
        };
        object.load(values)?;
        administer(company, &["gpo", "setlink", DOMAIN, &object.guid])?;
        Ok(object)
    }

    pub(super) fn load(&self, values: &[Value]) -> Result<()> {
        let content = serde_json::to_vec(values)?;
        let path = "/run/policy.json";
        self.company
            .controller()?
            .write_file(path, content, 0o600)?;
        let content = format!("--content={path}");
        administer(self.company, &["gpo", "load", &self.guid, &content])?;
        Ok(())
    }

    /// Leaves reading to everybody and the rest to one group.
    fn only_for(&self, group: &str) -> Result<()> {
        let found = self.company.on_controller(&format!(
            "ldbsearch -H /var/lib/samba/private/sam.ldb '(sAMAccountName={group})' objectSid"
        ))?;
        let sid = found
            .lines()
            .find_map(|line| line.strip_prefix("objectSid: "));
        let sid = sid.with_context(|| format!("no group {group}"))?;
        let dn = format!("--objectdn=CN={},CN=Policies,CN=System,{DOMAIN}", self.guid);
        let allow = format!("--sddl=({APPLY}{sid})(A;CI;LCRPLORC;;;{sid})");
        administer(self.company, &["dsacl", "set", &dn, &allow])?;
        let everybody = format!("--sddl=({APPLY}AU)");
        administer(self.company, &["dsacl", "delete", &dn, &everybody])?;
        Ok(())
    }

    /// One of its files in SYSVOL, on the domain controller.
    fn file(&self, name: &str) -> String {
        let policies = "/var/lib/samba/sysvol/corp.latchkey.test/Policies";
        format!("{policies}/{}/{name}", self.guid)
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        if let Err(error) = administer(self.company, &["gpo", "del", &self.guid]) {
            eprintln!("{} stays: {error:#}", self.guid);
        }
    }
}

/// A group of its own; it is deleted in the end.
struct Group<'a>(&'a Company, &'static str);

impl<'a> Group<'a> {
    fn made(company: &'a Company, name: &'static str) -> Result<Self> {
        administer(company, &["group", "add", name])?;
        Ok(Self(company, name))
    }

    fn change(&self, how: &str, member: &str) -> Result<()> {
        administer(self.0, &["group", how, self.1, member])?;
        Ok(())
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if let Err(error) = administer(self.0, &["group", "delete", self.1]) {
            eprintln!("{} stays: {error:#}", self.1);
        }
    }
}

/// Runs samba-tool on the domain controller with an administrator's ticket.
fn administer(company: &Company, words: &[&str]) -> Result<String> {
    let controller = company.controller()?;
    let cache = "/run/administrator.ccache";
    let ticket = ["kinit", "-c", cache, "Administrator"];
    controller
        .command(&ticket)
        .stdin(format!("{}\n", company.lab.administrator_password()))
        .ok()?;
    let mut all = vec!["samba-tool"];
    all.extend(words);
    let cache = format!("--use-krb5-ccache={cache}");
    all.extend([cache.as_str(), "--use-kerberos=required"]);
    all.extend(["-H", "ldap://dc.corp.latchkey.test"]);
    controller.command(&all).ok()
}

pub(super) fn value(class: &str, key: &str, name: &str, data: u32) -> Value {
    let kind = "REG_DWORD";
    json!({ "keyname": key, "valuename": name, "class": class, "type": kind, "data": data })
}

fn user(name: &str, data: u32) -> Value {
    value("USER", HELLO, name, data)
}

pub(super) fn machine(name: &str, data: u32) -> Value {
    value("MACHINE", HELLO, name, data)
}

/// Signs a person in, through the workstation's PAM stack, and runs a program of ours.
fn session(company: &Company, person: &str, line: &str) -> Result<Call> {
    let host = company.workstation()?;
    Ok(host.command(&["su", "-", person, "-c", line]))
}

/// What a person sees who signs in now.
fn seen(company: &Company, person: &str) -> Result<Value> {
    let told = session(company, person, "latchkey status --json")?.ok()?;
    let line = told.lines().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("no status in {told}"))?;
    Ok(serde_json::from_str(line)?)
}

/// Is an enrollment offered at a sign-in? The status and the event must be of one mind.
pub(super) fn is_offered(company: &Company, person: &str) -> Result<bool> {
    let status = seen(company, person)?;
    let event = last_event(company, person)?;
    let result = text(&status, "PreReqResult")?;
    ensure!(event["PreReqResult"] == result, "{status} but {event}");
    match (result, event["event"].as_u64()) {
        ("WillProvision", Some(358)) => Ok(true),
        ("WillNotProvision", Some(360 | 362)) => Ok(false),
        _ => anyhow::bail!("{status} but {event}"),
    }
}

pub(super) fn last_event(company: &Company, person: &str) -> Result<Value> {
    let events = company
        .workstation()?
        .read_text("/var/lib/latchkey/events.jsonl")?;
    for line in events.lines().rev() {
        let event: Value = serde_json::from_str(line)?;
        if event["user"] == person {
            return Ok(event);
        }
    }
    anyhow::bail!("no event of {person} in {events}")
}

/// An enrollment that must not happen; the code of the refusal.
pub(super) fn refusal(company: &Company, person: &str) -> Result<String> {
    let answer = refused(&company.enrollment(person, PIN)?.run()?)?;
    Ok(text(&answer, "code")?.to_owned())
}

#[test]
fn whoever_comes_into_the_group_is_offered_an_enrollment_at_the_next_sign_in() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let group = Group::made(company, "Hello People")?;
    let object = Object::linked(company, "hello", &[user("Enabled", 1)])?;
    object.only_for("Hello People")?;
    assert!(!is_offered(company, "alice")?);
    group.change("addmembers", "alice")?;
    assert!(is_offered(company, "alice")?);
    assert!(!is_offered(company, "bob")?);
    let status = seen(company, "alice")?;
    for name in [
        "IsDeviceJoined",
        "PolicyEnabled",
        "PostLogonEnabled",
        "DeviceEligible",
    ] {
        assert_eq!(status[name], "YES", "{status}");
    }
    group.change("removemembers", "alice")?;
    assert!(!is_offered(company, "alice")?);
    Ok(())
}

#[test]
fn a_policy_of_the_computer_is_for_everybody_at_it_and_for_nobody_elsewhere() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let elsewhere = company.with_workstation("ws2")?;
    elsewhere.join_workstation(Profile::Debug)?;
    let group = Group::made(company, "Hello Machines")?;
    let object = Object::linked(company, "hello machines", &[machine("Enabled", 1)])?;
    object.only_for("Hello Machines")?;
    group.change("addmembers", "WS1$")?;
    for person in ["alice", "bob"] {
        assert!(is_offered(company, person)?, "{person}");
        assert!(!is_offered(&elsewhere, person)?, "{person}");
    }
    // Who stands in the group decides, not who joined first.
    group.change("removemembers", "WS1$")?;
    group.change("addmembers", "WS2$")?;
    assert!(!is_offered(company, "alice")?);
    assert!(is_offered(&elsewhere, "alice")?);
    elsewhere
        .workstation()?
        .command(&["latchkey", "leave"])
        .ok()?;
    elsewhere.workstation()?.stop("latchkeyd")
}

#[test]
fn off_for_a_person_beats_on_for_the_computer_and_takes_the_key() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let _on = Object::linked(company, "on here", &[machine("Enabled", 1)])?;
    company.enrolled("alice", PIN)?;
    let group = Group::made(company, "No Hello")?;
    let off = Object::linked(company, "off", &[user("Enabled", 0)])?;
    off.only_for("No Hello")?;
    assert!(is_offered(company, "bob")?);
    company.sign_in("alice", PIN)?.ok()?;

    for person in ["alice", "bob"] {
        group.change("addmembers", person)?;
    }
    assert!(!is_offered(company, "bob")?);
    assert_eq!(refusal(company, "bob")?, "policy_disabled");
    seen(company, "alice")?;
    let answer = refused(&company.sign_in("alice", PIN)?)?;
    assert_eq!(text(&answer, "code")?, "no_credential", "{answer}");
    testkit::wait::until(
        "AD to forget the key",
        std::time::Duration::from_secs(30),
        || {
            company
                .keys_in_directory("alice")
                .is_ok_and(|keys| keys.is_empty())
        },
    )?;
    Ok(())
}

#[test]
fn without_a_policy_nothing_is_offered_and_enrolling_by_hand_works() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    assert!(!is_offered(company, "alice")?);
    company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn certificates_that_nobody_issues_are_said_to_be_missing() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let values = [user("Enabled", 1), user("UseCertificateForOnPremAuth", 1)];
    let _object = Object::linked(company, "certificates", &values)?;
    assert!(!is_offered(company, "bob")?);
    assert_eq!(last_event(company, "bob")?["event"], 362);
    assert_eq!(refusal(company, "bob")?, "certificate_trust");
    Ok(())
}

#[test]
fn a_new_pin_obeys_the_policy() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let complexity = format!(r"{HELLO}\PINComplexity");
    let longer = [value("MACHINE", &complexity, "MinimumPINLength", 10)];
    let _object = Object::linked(company, "longer PINs", &longer)?;
    assert_eq!(refusal_of_pin(company, "alice", "48151623")?, "pin_refused");
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    let change = |new: &str| {
        let words = ["latchkey", "pin", "change", "--answers-stdin", "--json"];
        let answers = format!("old={PIN}\npin={new}\n");
        host.command(&words).user("alice").stdin(answers).run()
    };
    let answer = refused(&change("48151623")?)?;
    assert_eq!(text(&answer, "code")?, "pin_refused", "{answer}");
    change("4815162342")?.ok()?;
    company.forget_everyone()
}

pub(super) fn refusal_of_pin(company: &Company, person: &str, pin: &str) -> Result<String> {
    company.give_factor(person)?;
    company.password_sign_in(person)?;
    let answer = refused(&company.enrollment(person, pin)?.run()?)?;
    Ok(text(&answer, "code")?.to_owned())
}

#[test]
fn an_object_that_cannot_be_read_leaves_the_last_set_in_effect() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let object = Object::linked(company, "hello", &[user("Enabled", 1)])?;
    company.enrolled("alice", PIN)?;
    assert!(is_offered(company, "bob")?);

    object.load(&[user("Enabled", 0)])?;
    let path = object.file("User/Registry.pol");
    company.on_controller(&format!("printf broken > '{path}'"))?;
    assert!(is_offered(company, "bob")?);
    // A reading that failed is tried again as often as its person asks.
    let host = company.workstation()?;
    let refresh = ["latchkey", "policy", "refresh", "--json"];
    let answer = refused(&host.command(&refresh).user("bob").run()?)?;
    assert_eq!(text(&answer, "code")?, "policy_unreadable", "{answer}");
    assert!(text(&answer, "sentence")?.contains("hello"), "{answer}");
    company.sign_in("alice", PIN)?.ok()?;
    let show = host
        .command(&["latchkey", "policy", "show"])
        .user("bob")
        .ok()?;
    assert!(show.contains("cannot be read"), "{show}");

    // Where there never was a set, nobody enrolls, and a credential works all the same.
    host.sh("rm /var/lib/latchkey/policy/*")?;
    assert_eq!(refusal(company, "bob")?, "policy_unknown");
    assert!(!is_offered(company, "bob")?);
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn a_report_names_what_applied_and_what_did_not() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let _on = Object::linked(company, "hello <all>", &[user("Enabled", 1)])?;
    let group = Group::made(company, "Nobody")?;
    let other = Object::linked(company, "for nobody", &[user("Enabled", 0)])?;
    other.only_for("Nobody")?;
    drop(seen(company, "alice")?);
    let host = company.workstation()?;
    let policy = |words: &[&str]| {
        let words = [&["latchkey", "policy"], words].concat();
        host.command(&words).user("alice").ok()
    };
    let page = policy(&["report", "--html"])?;
    assert!(
        page.contains("hello &lt;all&gt;") && !page.contains("<all>"),
        "{page}"
    );
    let report = policy(&["report"])?;
    assert!(report.contains("for nobody"), "{report}");
    let explained = policy(&["explain", "use-hello"])?;
    assert!(explained.contains("hello <all>"), "{explained}");
    let report: Value = serde_json::from_str(&policy(&["show", "--json"])?)?;
    assert!(report.is_object(), "{report}");
    let far = host.command(&["latchkey", "policy", "show", "--user", "alice", "--json"]);
    let answer = refused(&far.user("bob").run()?)?;
    assert_eq!(text(&answer, "code")?, "not_allowed", "{answer}");
    drop(group);
    Ok(())
}

/// Makes a certificate of the KDC authority's that is for servers only, beside the lab's others.
const SERVER_CERTIFICATE: &str = "set -e; umask 077; \
     printf 'subjectAltName=DNS:dc.corp.latchkey.test\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n' \
     > server-only.cnf; \
     openssl req -new -newkey rsa:2048 -nodes -subj /CN=dc -keyout server-only.key -out server-only.csr; \
     openssl x509 -req -in server-only.csr -CA kdc-ca.crt -CAkey kdc/ca.key -set_serial 4711 \
     -extfile server-only.cnf -out server-only.crt";

#[test]
fn a_kdc_certificate_for_servers_is_enough_only_where_the_policy_says_so() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let folder = company.lab.folder().join("pki");
    let mut shell = std::process::Command::new("sh");
    let made = shell
        .args(["-c", SERVER_CERTIFICATE])
        .current_dir(&folder)
        .output()?;
    ensure!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let read = |name| std::fs::read(folder.join(name));
    company
        .lab
        .use_kdc_identity(&read("server-only.crt")?, &read("server-only.key")?)?;

    let answer = refused(&company.sign_in("alice", PIN)?)?;
    assert_eq!(text(&answer, "code")?, "kdc_not_trusted", "{answer}");
    let off = value("MACHINE", r"Software\Policies\Latchkey", "RequireKdcEku", 0);
    let object = Object::linked(company, "any server", &[off])?;
    let refresh = || {
        company
            .workstation()?
            .command(&["latchkey", "policy", "refresh"])
            .ok()
    };
    refresh()?;
    company.sign_in("alice", PIN)?.ok()?;

    drop(object);
    refresh()?;
    company.lab.use_kdc_certificate(KdcCertificate::DnsNames)?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}
