//! `latchkey gpo` against the domain controller. Samba's own tools are the judges, and the recorded
//! stages of a policy that was made with them.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::lab::address::BASE_DN;
use testkit::lab::{Lab, Output, target_folder, workspace};

use crate::shared;

const CACHE: &str = "/run/administrator.ccache";
const POLICIES: &str = "/var/lib/samba/sysvol/corp.latchkey.test/Policies";
const APPLY: &str = "edacfd8f-ffb3-11d1-b41d-00a0c968f939";
const EXTENSION: &str = "{35378EAC-683F-11D2-A89A-00C04FBBCFA2}";
const USER_TOOL: &str = "{D02B1F73-3407-48AE-BA88-E8213C6761F1}";
const COMPUTER_TOOL: &str = "{D02B1F72-3407-48AE-BA88-E8213C6761F1}";

/// The lab with an administrator at ws1 and at the domain controller.
struct Office<'a>(&'a Lab);

impl<'a> Office<'a> {
    fn open(lab: &'a Lab) -> Result<Self> {
        let workstation = lab.host("ws1")?;
        let program = target_folder().join("debug/latchkey");
        let program = fs::read(&program).context("latchkey is not built")?;
        workstation.write_file("/usr/bin/latchkey", program, 0o755)?;
        for host in [&workstation, &lab.host("dc")?] {
            host.command(&["kinit", "-c", CACHE, "Administrator"])
                .stdin(format!("{}\n", lab.administrator_password()))
                .ok()?;
        }
        Ok(Self(lab))
    }

    /// `latchkey gpo …`
    fn try_gpo(&self, words: &[&str]) -> Result<Output> {
        self.try_gpo_with(CACHE, words)
    }

    /// The same with another's ticket.
    fn try_gpo_with(&self, cache: &str, words: &[&str]) -> Result<Output> {
        let all = [&["latchkey", "--json", "gpo"], words].concat();
        let host = self.0.host("ws1")?;
        host.command(&all).env("KRB5CCNAME", cache).run()
    }

    fn gpo(&self, words: &[&str]) -> Result<Value> {
        let output = self.try_gpo(words)?;
        ensure!(output.status == 0, "{words:?}: {}", output.text());
        Ok(serde_json::from_str(&output.stdout)?)
    }

    /// samba-tool on the domain controller, over the network like any client.
    fn samba(&self, words: &[&str]) -> Result<String> {
        let cache = format!("--use-krb5-ccache={CACHE}");
        let ticket = [cache.as_str(), "--use-kerberos=required"];
        let server = ["-H", "ldap://dc.corp.latchkey.test"];
        let all = [&["samba-tool"], words, &ticket, &server].concat();
        self.0.host("dc")?.command(&all).ok()
    }

    fn on_controller(&self, line: &str) -> Result<String> {
        self.0.host("dc")?.sh(line)
    }

    /// An object's attribute, as the database has it.
    fn attribute(&self, dn: &str, name: &str) -> Result<Option<String>> {
        let database = "/var/lib/samba/private/sam.ldb";
        let found = self.on_controller(&format!(
            "ldbsearch -H {database} -b '{dn}' -s base {name} | sed -z 's/\\n //g'"
        ))?;
        let head = format!("{name}: ");
        let value = found.lines().find_map(|line| line.strip_prefix(&head));
        Ok(value.map(str::to_owned))
    }

    fn directory_rights(&self, dn: &str) -> Result<String> {
        let told = self.samba(&["dsacl", "get", &format!("--objectdn={dn}")])?;
        let sddl = told.lines().find(|line| line.starts_with("O:"));
        Ok(sddl.with_context(|| told.clone())?.to_owned())
    }

    fn file_rights(&self, path: &str) -> Result<String> {
        let told = self.on_controller(&format!("samba-tool ntacl get --as-sddl '{path}'"))?;
        let sddl = told.lines().find(|line| line.starts_with("O:"));
        Ok(sddl.with_context(|| told.clone())?.to_owned())
    }

    fn sid(&self, account: &str) -> Result<String> {
        let database = "/var/lib/samba/private/sam.ldb";
        let found = self.on_controller(&format!(
            "ldbsearch -H {database} '(sAMAccountName={account})' objectSid"
        ))?;
        let sid = found
            .lines()
            .find_map(|line| line.strip_prefix("objectSid: "));
        Ok(sid.with_context(|| format!("no {account}"))?.to_owned())
    }
}

/// A policy of that name.
struct Policy {
    braced: String,
    dn: String,
    folder: String,
}

impl Policy {
    fn of(answer: &Value) -> Result<Self> {
        let guid = answer["guid"]
            .as_str()
            .or_else(|| answer["policies"][0]["guid"].as_str())
            .with_context(|| answer.to_string())?;
        let braced = format!("{{{}}}", guid.to_uppercase());
        Ok(Self {
            dn: format!("CN={braced},CN=Policies,CN=System,{BASE_DN}"),
            folder: format!("{POLICIES}/{braced}"),
            braced,
        })
    }
}

/// A recorded stage with the SID of its group as GROUP.
fn stage(name: &str) -> String {
    let stages = workspace().join("crates/policy/tests/fixtures/gpo/stages");
    let text = fs::read_to_string(stages.join(format!("ENABLE.{name}.sddl"))).unwrap();
    let group = "S-1-5-21-3095393701-74305044-1977659500-1112";
    text.trim().replace(group, "GROUP")
}

#[test]
fn a_policy_made_in_steps_is_as_samba_made_it_in_the_recorded_stages() {
    let (_turn, lab) = shared();
    let office = Office::open(lab).unwrap();
    let name = "Made in steps";
    let made = Policy::of(&office.gpo(&["create", name]).unwrap()).unwrap();
    let attribute = |name| office.attribute(&made.dn, name).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let is_stage = |number: &str, group: Option<&str>, files: &str| {
        let with_group = |sddl: String| match group {
            Some(sid) => sddl.replace(sid, "GROUP"),
            None => sddl,
        };
        let rights = with_group(office.directory_rights(&made.dn).unwrap());
        assert_eq!(rights, stage(&format!("{number}.ds")));
        let rights = with_group(office.file_rights(&made.folder).unwrap());
        assert_eq!(rights, stage(&format!("{files}.sysvol")));
        office.samba(&["gpo", "aclcheck"]).unwrap();
    };

    is_stage("00-created", None, "00-created");
    assert_eq!(attribute("displayName"), text(name));
    assert_eq!(attribute("versionNumber"), text("0"));
    assert_eq!(attribute("flags"), text("0"));
    assert_eq!(attribute("gPCFunctionalityVersion"), text("2"));
    assert_eq!(attribute("gPCUserExtensionNames"), None);
    let path = r"\\corp.latchkey.test\sysvol\corp.latchkey.test\Policies";
    let path = format!(r"{path}\{}", made.braced);
    assert_eq!(attribute("gPCFileSysPath"), Some(path));
    let tree = office.on_controller(&format!("cd '{}' && find . | sort", made.folder));
    assert_eq!(tree.unwrap(), ".\n./GPT.INI\n./Machine\n./User\n");
    for half in ["Machine", "User"] {
        let class = office.attribute(&format!("CN={half},{}", made.dn), "objectClass");
        assert_eq!(class.unwrap(), text("top"), "{half}");
    }
    let ini = |version: u32| {
        let file = format!("{}/GPT.INI", made.folder);
        let found = office.on_controller(&format!("cat '{file}'")).unwrap();
        assert_eq!(found, format!("[General]\r\nVersion={version}\r\n"));
        assert_eq!(attribute("versionNumber"), Some(version.to_string()));
    };
    ini(0);

    office.gpo(&["set", name, "use-hello"]).unwrap();
    is_stage("01-loaded", None, "01-loaded");
    ini(65536);
    let names = Some(format!("[{EXTENSION}{USER_TOOL}]"));
    assert_eq!(attribute("gPCUserExtensionNames"), names);
    assert_eq!(attribute("gPCMachineExtensionNames"), None);

    let filter = |more: &[&str]| {
        let words = [&["filter", "add", name, "Latchkey Users"], more].concat();
        office.gpo(&words).unwrap()
    };
    let group = office.sid("Latchkey Users").unwrap();
    filter(&["--keep-everybody"]);
    // The group editor of the recorded stages left the files' rights as they were.
    is_stage("02-group-added", Some(&group), "04-sysvolreset");
    filter(&[]);
    is_stage("03-au-apply-removed", Some(&group), "04-sysvolreset");

    let told = office
        .gpo(&["set", name, "require-security-device", "pin-history=5"])
        .unwrap();
    let warning = told["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.contains("applies to no computer"), "{told}");
    ini(65537);
    let names = Some(format!("[{EXTENSION}{COMPUTER_TOOL}]"));
    assert_eq!(attribute("gPCMachineExtensionNames"), names);
    is_stage("03-au-apply-removed", Some(&group), "04-sysvolreset");

    let shown = office.samba(&["gpo", "show", &made.braced]).unwrap();
    let (_, values) = shown.split_once("Policies     :").unwrap();
    let mut values: Vec<(String, u64)> = serde_json::from_str::<Vec<Value>>(values)
        .unwrap()
        .iter()
        .map(|value| {
            let part = |name: &str| value[name].as_str().unwrap().to_owned();
            let name = format!("{} {}", part("class"), part("valuename"));
            (name, value["data"].as_u64().unwrap())
        })
        .collect();
    values.sort();
    let expected = [
        ("MACHINE History", 5),
        ("MACHINE RequireSecurityDevice", 1),
        ("MACHINE TPM12", 0),
        ("USER DisablePostLogonProvisioning", 0),
        ("USER Enabled", 1),
    ];
    assert_eq!(values, expected.map(|(name, data)| (name.to_owned(), data)));

    office.gpo(&["unset", name, "use-hello"]).unwrap();
    ini(131_073);
    assert_eq!(attribute("gPCUserExtensionNames"), None);

    office.gpo(&["delete", name]).unwrap();
    assert_eq!(attribute("displayName"), None);
    let left = office.on_controller(&format!("ls '{POLICIES}'")).unwrap();
    assert!(!left.contains(&made.braced), "{left}");
}

#[test]
fn a_policy_made_by_sambas_tools_is_read_and_changed() {
    let (_turn, lab) = shared();
    let office = Office::open(lab).unwrap();
    let name = "Made by Samba";
    office.samba(&["gpo", "create", name]).unwrap();
    let made = Policy::of(&office.gpo(&["show", name]).unwrap()).unwrap();
    let values = r#"[{"keyname":"Software\\Policies\\Other","valuename":"Kept",
        "class":"USER","type":"REG_SZ","data":"as it is"}]"#;
    let controller = lab.host("dc").unwrap();
    controller
        .write_file("/run/values.json", values, 0o600)
        .unwrap();
    let content = "--content=/run/values.json";
    office
        .samba(&["gpo", "load", &made.braced, content])
        .unwrap();

    office.gpo(&["set", name, "use-hello=off"]).unwrap();
    let shown = office.gpo(&["show", name]).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let kept = settings.iter().any(|set| set["data"] == "as it is");
    let off = settings
        .iter()
        .any(|set| set["setting"] == "use-hello" && set["data"] == "off");
    assert!(kept && off, "{shown}");
    assert_eq!(shown["user_version"], 2);
    office.samba(&["gpo", "aclcheck"]).unwrap();
    office.gpo(&["delete", name]).unwrap();
    let again = office.try_gpo(&["delete", name]).unwrap();
    assert_ne!(again.status, 0);
}

#[test]
fn whoever_may_edit_a_policy_changes_its_settings_and_nothing_else() {
    let (_turn, lab) = shared();
    let office = Office::open(lab).unwrap();
    let name = "Edited by carol";
    let made = Policy::of(&office.gpo(&["create", name]).unwrap()).unwrap();
    let cache = "/run/carol.ccache";
    let host = lab.host("ws1").unwrap();
    host.command(&["kinit", "-c", cache, "carol"])
        .stdin(format!("{}\n", lab.password("carol").unwrap()))
        .ok()
        .unwrap();
    let by_carol = |words: &[&str]| office.try_gpo_with(cache, words).unwrap();
    let set = ["set", name, "--computer", "use-hello"];

    assert_ne!(by_carol(&set).status, 0);
    office
        .gpo(&["delegation", "add-edit", name, "carol"])
        .unwrap();
    let rights = office.gpo(&["delegation", "show", name]).unwrap();
    let hers = rights
        .as_array()
        .unwrap()
        .iter()
        .find(|right| right["who"].as_str().unwrap().ends_with("carol"));
    assert_eq!(hers.unwrap()["right"], "edit", "{rights}");
    // The second time there is a file to replace.
    for version in [1, 2] {
        let output = by_carol(&set);
        assert_eq!(output.status, 0, "{}", output.text());
        office
            .gpo(&["unset", name, "--computer", "use-hello"])
            .unwrap();
        let found = office.attribute(&made.dn, "versionNumber").unwrap();
        assert_eq!(found, Some((2 * version).to_string()));
    }
    office.samba(&["gpo", "aclcheck"]).unwrap();
    for words in [
        &["delegation", "add-edit", name, "dave"][..],
        &["filter", "add", name, "Latchkey Users"],
        &["delete", name],
    ] {
        assert_ne!(by_carol(words).status, 0, "{words:?}");
    }
    office
        .gpo(&["delegation", "remove", name, "carol"])
        .unwrap();
    assert_ne!(by_carol(&set).status, 0);
    office.gpo(&["delete", name]).unwrap();
}

#[test]
fn links_are_put_in_order_enforced_and_taken_away() {
    let (_turn, lab) = shared();
    let office = Office::open(lab).unwrap();
    let place = format!("OU=Staff,{BASE_DN}");
    for name in ["Link one", "Link two"] {
        office.gpo(&["create", name]).unwrap();
        office.gpo(&["link", name, &place]).unwrap();
    }
    let state = |name| {
        let shown = office.gpo(&["show", name]).unwrap();
        let link = &shown["links"][0];
        (link["order"].as_u64(), link["enforced"].as_bool())
    };
    // The later link is the weaker one.
    assert_eq!(state("Link one"), (Some(1), Some(false)));
    assert_eq!(state("Link two"), (Some(2), Some(false)));
    office.gpo(&["order", "Link two", &place, "1"]).unwrap();
    office.gpo(&["enforce", "Link one", &place]).unwrap();
    assert_eq!(state("Link one"), (Some(2), Some(true)));
    assert_eq!(state("Link two"), (Some(1), Some(false)));
    office
        .gpo(&["enforce", "--off", "Link one", &place])
        .unwrap();
    assert_eq!(state("Link one"), (Some(2), Some(false)));
    office.gpo(&["unlink", "Link one", &place]).unwrap();
    assert_eq!(state("Link one"), (None, None));
    office.gpo(&["delete", "Link one"]).unwrap();
    office.gpo(&["delete", "Link two"]).unwrap();
    assert_eq!(office.attribute(&place, "gPLink").unwrap(), None);
}

#[test]
fn templates_are_put_into_the_central_store_and_only_into_one() {
    let (_turn, lab) = shared();
    let office = Office::open(lab).unwrap();
    let refused = office.try_gpo(&["install-templates"]).unwrap();
    assert_ne!(refused.status, 0);
    for words in [
        &["install-templates", "--make-store"][..],
        &["install-templates"],
    ] {
        office.gpo(words).unwrap();
        for file in ["Latchkey.admx", "en-US/Latchkey.adml"] {
            let path = format!("{POLICIES}/PolicyDefinitions/{file}");
            let found = office.on_controller(&format!("cat '{path}'")).unwrap();
            let ours = workspace().join("packaging/policy-definitions").join(file);
            assert_eq!(found, fs::read_to_string(ours).unwrap());
        }
    }
    let store = format!("{POLICIES}/PolicyDefinitions");
    office.on_controller(&format!("rm -r '{store}'")).unwrap();
}

const HELLO: [&str; 10] = [
    "enable-hello",
    "--group",
    "Hello Users",
    "--link",
    "corp.latchkey.test",
    "--name",
    "Hello",
    "--require-tpm",
    "--min-pin-length",
    "8",
];

#[test]
fn enabling_hello_makes_everything_once() {
    let (_turn, lab) = shared();
    let office = Office::open(lab).unwrap();
    let first = office.gpo(&HELLO).unwrap();
    assert_eq!(first["warnings"].as_array().map(Vec::len), Some(0));
    let second = office.gpo(&HELLO).unwrap();
    assert_eq!(second["done"].as_array().map(Vec::len), Some(0), "{second}");
    is_whole(&office);
    office
        .gpo(&["members", "add", "Hello Users", "alice", "ws1"])
        .unwrap();
    let members = office.samba(&["group", "listmembers", "Hello Users"]);
    let mut members: Vec<String> = members.unwrap().lines().map(str::to_owned).collect();
    members.sort();
    assert_eq!(members, ["WS1$", "alice"]);
    // With a computer in the group, settings of computers in its policy reach somebody.
    let told = office
        .gpo(&["set", "Hello", "--computer", "use-hello"])
        .unwrap();
    assert_eq!(told["warnings"].as_array().map(Vec::len), Some(0), "{told}");
    remove(&office);
}

#[test]
fn enabling_hello_is_finished_after_it_was_killed_at_any_moment() {
    let (_turn, lab) = shared();
    let office = Office::open(lab).unwrap();
    let begin = Instant::now();
    office.gpo(&HELLO).unwrap();
    let mut whole_run = begin.elapsed();
    remove(&office);
    let (mut killed, mut linked_early) = (0, 0);
    for moment in 1..=MOMENTS {
        let limit = (whole_run * moment / MOMENTS).as_secs_f64().to_string();
        let words = [
            &["timeout", "-s", "KILL", &limit, "latchkey", "gpo"],
            &HELLO[..],
        ]
        .concat();
        let host = lab.host("ws1").unwrap();
        let begin = Instant::now();
        let ended = host.command(&words).env("KRB5CCNAME", CACHE).run().unwrap();
        let whole = ended.status == 0;
        if whole {
            // The machine was busier before.
            whole_run = whole_run.min(begin.elapsed());
        }
        killed += usize::from(!whole);
        // Whatever is linked can be read by everybody, and must be whole.
        let links = office.attribute(BASE_DN, "gPLink").unwrap();
        let shown = office.try_gpo(&["show", "Hello"]).unwrap();
        if shown.status == 0 {
            let made = serde_json::from_str(&shown.stdout).unwrap();
            let made = Policy::of(&made).unwrap();
            if links.is_some_and(|links| links.contains(&made.braced)) {
                linked_early += usize::from(!whole);
                is_whole(&office);
            }
        }
        office.gpo(&HELLO).unwrap();
        is_whole(&office);
        remove(&office);
    }
    assert!(
        killed > 3,
        "killed {killed} times, {linked_early} times after the link"
    );
}

/// How many moments of a run are tried.
const MOMENTS: u32 = 8;

/// Both policies are there with settings, rights and links.
fn is_whole(office: &Office<'_>) {
    office.samba(&["gpo", "aclcheck"]).unwrap();
    for (name, audience, half, version) in [
        ("Hello", "Hello Users", "gPCUserExtensionNames", "65536"),
        (
            "Hello (computers)",
            "Domain Computers",
            "gPCMachineExtensionNames",
            "1",
        ),
    ] {
        let shown = office.gpo(&["show", name]).unwrap();
        assert_eq!(
            shown["applies_to"],
            serde_json::json!([audience]),
            "{shown}"
        );
        assert_eq!(shown["links"].as_array().map(Vec::len), Some(1), "{shown}");
        let made = Policy::of(&shown).unwrap();
        assert!(office.attribute(&made.dn, half).unwrap().is_some());
        let found = office.attribute(&made.dn, "versionNumber").unwrap();
        let found: u32 = found.unwrap().parse().unwrap();
        assert!(found >= version.parse().unwrap(), "{shown}");
        let ini = office.on_controller(&format!("cat '{}/GPT.INI'", made.folder));
        assert_eq!(ini.unwrap(), format!("[General]\r\nVersion={found}\r\n"));
        let rights = office.directory_rights(&made.dn).unwrap();
        assert!(!rights.contains(&format!("{APPLY};;AU")), "{rights}");
    }
}

fn remove(office: &Office<'_>) {
    office.gpo(&["delete", "Hello"]).unwrap();
    office.gpo(&["delete", "Hello (computers)"]).unwrap();
    office.samba(&["group", "delete", "Hello Users"]).unwrap();
}
