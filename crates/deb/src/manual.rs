//! Manual pages and completions, which the programs themselves write from their arguments.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::build::{output, write};
use crate::contents::Package;

/// What the agent's page says that its arguments do not.
const AGENT: &str = r"
.SH EXIT STATUS
.TP
.B 0
What was asked for is done.
.TP
.B 1
It failed, or
.B scheduler start \-\-wait
ended with a step that did not succeed.
.TP
.B 2
The arguments are wrong.
.TP
.B 3
.B permissions check
found something missing.
.SH ENVIRONMENT
.TP
.B LATCHKEY_LOG
What is logged: a level
.RB ( error ,
.BR warn ,
.BR info ,
.BR debug ,
.BR trace )
or levels of single parts, as
.BR info,latchkey_sync=debug ;
info.
.TP
.B LATCHKEY_LOG_FORMAT
.B text
or
.BR json ,
where
.B \-\-log\-format
is not given; text.
.SH FILES
.TP
.I /etc/latchkey/sync.toml
The configuration, see
.BR latchkey\-sync.toml (5).
.TP
.I /var/lib/latchkey\-sync
The agent's key, where it is in the feed and in the directory, the scheduler and the run history.
.TP
.I /run/latchkey\-sync/control.sock
Where the running agent is asked, by root and by its own user.
.TP
.I /run/latchkey\-sync/metrics.prom
Counters for a collector of text files.
.SH SEE ALSO
.BR latchkey\-sync.toml (5),
.BR latchkey\-server (8),
.BR systemctl (1),
.BR journalctl (1)
";

/// Puts them into the tree of a package, made by its program in `built`.
pub(crate) fn write_manual(package: Package, built: &Path, tree: &Path) -> Result<()> {
    let (name, section) = package.command();
    let program = built.join(name);
    let pages = tree.join(format!("usr/share/man/man{section}"));
    fs::create_dir_all(&pages)?;
    let raw = tree.with_extension("pages");
    fs::create_dir_all(&raw)?;
    output(Command::new(&program).arg("man").arg(&raw))?;
    for entry in fs::read_dir(&raw)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut page = in_section(&fs::read_to_string(&path)?, section);
        if package == Package::Agent && stem == name {
            page += AGENT;
        }
        write(&pages.join(format!("{stem}.{section}")), page, 0o644)?;
    }
    fs::remove_dir_all(&raw)?;

    let share = tree.join("usr/share");
    for (shell, place) in [
        ("bash", format!("bash-completion/completions/{name}")),
        ("zsh", format!("zsh/vendor-completions/_{name}")),
        ("fish", format!("fish/vendor_completions.d/{name}.fish")),
    ] {
        let text = output(Command::new(&program).args(["completions", shell]))?;
        write(&share.join(place), text, 0o644)?;
    }
    Ok(())
}

/// A page that was written for section 1, as one of another.
fn in_section(page: &str, section: u8) -> String {
    let mut moved = String::new();
    for line in page.lines() {
        let line = match line
            .strip_prefix(".TH ")
            .and_then(|rest| rest.split_once(" 1 "))
        {
            Some((title, rest)) => format!(".TH {title} {section} {rest}"),
            None => line.replace("(1)", &format!("({section})")),
        };
        moved += &line;
        moved.push('\n');
    }
    moved
}

/// Packs every page of the tree, as `man` expects them.
pub(crate) fn compress(tree: &Path) -> Result<()> {
    let pack = "find usr/share/man -type f -print0 | xargs -0 gzip --best --no-name";
    output(Command::new("sh").args(["-c", pack]).current_dir(tree))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_to_the_agents_page_is_a_page_without_warnings() {
        let folder = std::env::temp_dir().join(format!("latchkey-manual-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let page = format!(".TH X 8\n.SH NAME\nx \\- y{AGENT}");
        let file = folder.join("x.8");
        fs::write(&file, page).unwrap();
        let said = Command::new("man")
            .args(["--warnings", "--local-file"])
            .arg(&file)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let warned = String::from_utf8_lossy(&said.stderr);
        assert!(warned.is_empty(), "{warned}");
        let said = String::from_utf8_lossy(&said.stdout);
        for head in ["EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"] {
            assert!(said.contains(head), "{said}");
        }
    }
}
