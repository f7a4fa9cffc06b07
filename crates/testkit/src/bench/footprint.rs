//! What the daemon takes of a workstation: its memory, and its processor time while nobody asks for
//! anything.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Row;
use crate::company::Company;
use crate::lab::Host;
use crate::wait::pass;

/// What the daemon may take of memory.
const MEMORY_MIB: f64 = 25.0;
/// What it may take of one processor, in hundredths.
const IDLE_PERCENT: f64 = 0.1;
/// Clock ticks a second, in `/proc`.
const TICKS: f64 = 100.0;

/// Leaves the daemon alone for `idle` after whatever it did before, and looks at what it took.
pub(super) fn footprint(company: &Company, idle: Duration) -> Result<Vec<Row>> {
    let workstation = company.workstation()?;
    let number = workstation.pid("latchkeyd").context("no latchkeyd runs")?;
    // What the last sign-in left behind is done by then.
    pass(SETTLING);
    let before = ticks(&workstation, number)?;
    pass(idle);
    let ticks = ticks(&workstation, number)? - before;
    let seconds = idle.as_secs_f64();
    let status = workstation.read_text(&format!("/proc/{number}/status"))?;
    let (now, peak) = (mib(&status, "VmRSS:")?, mib(&status, "VmHWM:")?);
    let children = workstation.sh(&format!(
        "for status in /proc/[0-9]*/status; do
             ! grep -q '^PPid:[[:space:]]*{number}$' $status || cat $status
         done 2>/dev/null"
    ))?;
    let helpers = mib(&children, "VmRSS:")?;
    let after = format!(
        "of latchkeyd after the sign-ins above and {seconds} s without any; the login helper that \
         waits for the next has {helpers:.1} MiB, most of it the same libraries' pages"
    );
    Ok(vec![
        Row::memory(
            "signin.memory",
            now,
            MEMORY_MIB,
            format!("resident memory {after}"),
        ),
        Row::memory(
            "signin.memory_peak",
            peak,
            MEMORY_MIB,
            format!("the most resident memory {after}"),
        ),
        Row::share(
            "signin.idle",
            100.0 * ticks / TICKS / seconds,
            IDLE_PERCENT,
            format!("processor time of latchkeyd in {seconds} s while nobody asked for anything"),
        ),
    ])
}

/// Processor time that a process has taken.
fn ticks(host: &Host, number: u32) -> Result<f64> {
    let stat = host.read_text(&format!("/proc/{number}/stat"))?;
    ticks_of(&stat).with_context(|| format!("no times in {stat}"))
}

/// Fields 14 and 15, counted behind the command name, which may hold anything.
fn ticks_of(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<f64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// A line of `/proc/PID/status`, which counts in KiB.
pub(super) fn mib(status: &str, name: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name} in {status}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Longer than anything that a sign-in leaves to be done.
const SETTLING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_of_proc() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 25 17 5 6 20 0";
        assert_eq!(ticks_of(stat), Some(42.0));
        assert_eq!(ticks_of("7 (a"), None);
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1536 kB\n";
        assert!((mib(status, "VmRSS:").unwrap() - 1.5).abs() < 1e-9);
        assert!(mib(status, "VmSwap:").is_err());
    }
}
