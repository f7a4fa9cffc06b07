//! Manual pages and completions, which the programs themselves write from their arguments.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::build::{output, write};
use crate::contents::Package;

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
        let page = in_section(&fs::read_to_string(&path)?, section);
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
