//! `cargo xtask demo`: builds the programs and plays the story in a fresh lab.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use lexopt::Arg::Long;
use testkit::lab::Lab;
use testkit::packages;
use testkit::story::{self, Step, Teller};

use crate::{build, complain, say};

/// Runs what follows `demo` on the command line.
pub(crate) fn run(mut words: lexopt::Parser) -> Result<ExitCode> {
    let (mut keep, mut json, mut name) = (false, false, "demo".to_owned());
    while let Some(word) = words.next()? {
        match word {
            Long("keep") => keep = true,
            Long("json") => json = true,
            Long("name") => name = words.value()?.to_string_lossy().into_owned(),
            other => return Err(other.unexpected().into()),
        }
    }
    if !packages::is_root() {
        bail!(
            "the demo needs root: its lab makes namespaces, mounts and links (none of them stay)"
        );
    }
    let start = Instant::now();
    packages::install(&[packages::BUILD, packages::LAB], complain)?;
    build(&["--workspace"])?;
    complain(&format!("built ({:.1} s)", start.elapsed().as_secs_f64()));

    let tell = if json { complain_step } else { say_step };
    let mut teller = Teller::new(tell);
    let played = story::play(&name, complain, &mut teller);
    let failure = played.as_ref().err().map(|fault| format!("{fault:#}"));
    if json {
        let mut object = serde_json::to_value(teller.told())?;
        if let Some(object) = object.as_object_mut() {
            let ms = u64::try_from(start.elapsed().as_millis())?;
            object.insert("version".to_owned(), 1.into());
            object.insert("ok".to_owned(), failure.is_none().into());
            object.insert("ms".to_owned(), ms.into());
            object.insert("failure".to_owned(), failure.into());
        }
        say(&object.to_string());
    } else {
        say(&format!(
            "{} steps, {:.1} s",
            teller.told().steps.len(),
            start.elapsed().as_secs_f64()
        ));
    }
    if keep {
        complain(&format!(
            "the lab stays: cargo xtask lab status|shell ws1|run ws1 -- CMD…|down, each with \
             --name {name}; logs are in /var/log of each host"
        ));
    } else {
        Lab::down(&name)?;
    }
    played?;
    Ok(ExitCode::SUCCESS)
}

fn say_step(step: &Step) {
    say(&line(step));
}

fn complain_step(step: &Step) {
    complain(&line(step));
}

fn line(step: &Step) -> String {
    format!(
        "{:>2}. {:<24} {:>7} ms  {}",
        step.number, step.name, step.ms, step.detail
    )
}
