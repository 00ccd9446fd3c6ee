//! Processor time and memory of processes; Linux alone tells.

use std::{fs, path::Path};

use anyhow::Context;

/// In one second: the kernel's `USER_HZ`, which is 100 on all of Linux's usual machines.
const TICKS: f64 = 100.0;

/// What `/proc/<pid>/stat` says.
struct Stat {
    parent: u32,
    /// In ticks: of the process, and of its children that have ended.
    own: f64,
    children: f64,
}

/// Processor time that a process has used, in s.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<f64> {
    let file = format!("/proc/{pid}/stat");
    let stat = Stat::read(Path::new(&file)).with_context(|| format!("{file}: only Linux tells"))?;
    Ok(stat.own / TICKS)
}

/// The same of a process and its children, those that have ended too.
pub(crate) fn cpu_of_family(pid: u32) -> anyhow::Result<f64> {
    let file = format!("/proc/{pid}/stat");
    let head = Stat::read(Path::new(&file)).with_context(|| format!("{file}: only Linux tells"))?;
    let mut ticks = head.own + head.children;
    for entry in fs::read_dir("/proc")?.flatten() {
        let stat = Stat::read(&entry.path().join("stat")); // none where it is no process, or has just ended
        ticks += stat.filter(|stat| stat.parent == pid).map_or(0.0, |stat| stat.own);
    }
    Ok(ticks / TICKS)
}

/// Resident memory of a process in MB.
pub(crate) fn memory(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

impl Stat {
    fn read(file: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(file).ok()?)
    }

    /// The name of the program, in parentheses, may hold anything.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.rsplit(')').next()?.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            children: ticks(13)? + ticks(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_program_is_called() {
        let line = "77 (a ) 9 (b) S 42 77 77 0 -1 4194304 1 2 3 4 50 25 7 1 20 0 1 0 5";
        let stat = Stat::parse(line).expect("read");
        assert_eq!((stat.parent, stat.own, stat.children), (42, 75.0, 8.0));
    }
}
