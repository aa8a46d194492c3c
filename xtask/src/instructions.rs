//! Counts the instructions that hot pieces take, and compares with the counts
//! that are committed.
//!
//! Time is not to be had from a machine that others use; a count is. Whoever makes
//! a piece dearer or cheaper renews the counts, and says why in the commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::cargo;

/// The counts that are committed, for each kind of machine.
const COMMITTED: &str = "tests/instructions/baseline.json";
/// How far a count may be from the committed one.
const TOLERANCE_PERCENT: u64 = 5;
/// What is optimised: the crate that counts, and those that spans go through.
/// The rest is what the tests have built already.
const OPTIMISED: [&str; 7] = [
    "fanlight-instructions",
    "fanlight-server",
    "fanlight-telemetry",
    "opentelemetry",
    "opentelemetry_sdk",
    "opentelemetry-proto",
    "prost",
];
/// How: as for a release.
const SETTINGS: [&str; 4] = [
    "opt-level=3",
    "debug-assertions=false",
    "overflow-checks=false",
    // In several units, what is inlined would depend on what else there is.
    "codegen-units=1",
];
/// What is counted, in the program's own names.
const MEASURED: &str = "instructions::measured";

/// Instructions of one run of each piece.
type Counts = BTreeMap<String, u64>;

/// Counts, and compares with what is committed, or commits to it.
///
/// # Errors
/// When something fails, or a count is too far from what it was.
pub(crate) fn run(renew: bool) -> anyhow::Result<()> {
    if !is_there("valgrind") {
        ensure!(!renew, "Valgrind counts: install it first");
        eprintln!("xtask: SKIPPED: the counts of instructions, for Valgrind is not installed");
        return Ok(());
    }
    let machine = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let file = cargo::workspace().join(COMMITTED);
    let mut committed = read(&file)?;
    if !renew && !committed.contains_key(&machine) {
        eprintln!("xtask: SKIPPED: no counts of instructions are committed for {machine}");
        return Ok(());
    }
    let counts = count(&build()?)?;
    if renew {
        committed.insert(machine, counts);
        let text = serde_json::to_string_pretty(&committed)? + "\n";
        return fs::write(&file, text).with_context(|| format!("cannot write {COMMITTED}"));
    }
    let comparison = Comparison {
        before: committed.remove(&machine).unwrap_or_default(),
        now: counts,
    };
    for line in comparison.lines() {
        println!("{line}");
    }
    let differing = comparison.differing();
    ensure!(
        differing.is_empty(),
        "{} not what {COMMITTED} says within {TOLERANCE_PERCENT}%: where that is meant, \
         `cargo xtask instructions --renew`, and say why in the commit",
        differing.join(", ")
    );
    Ok(())
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

fn read(file: &Path) -> anyhow::Result<BTreeMap<String, Counts>> {
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {COMMITTED}"))?;
    serde_json::from_str(&text).with_context(|| format!("{COMMITTED} holds no counts"))
}

/// Builds the pieces on top of what the tests have built.
fn build() -> anyhow::Result<PathBuf> {
    let mut args: Vec<String> = ["--workspace", "--bin", "instructions"]
        .into_iter()
        .chain(["--features", "fanlight-instructions/benchmarks"])
        .map(str::to_owned)
        .collect();
    for package in OPTIMISED {
        for setting in SETTINGS {
            args.push("--config".to_owned());
            args.push(format!("profile.dev.package.{package}.{setting}"));
        }
    }
    // What an incremental build inlines depends on the builds before it.
    cargo::build_with(args, &[("CARGO_INCREMENTAL", "0")])?
        .pop()
        .context("cargo built no program that counts")
}

/// Has each piece run under Valgrind.
fn count(program: &Path) -> anyhow::Result<Counts> {
    let directory = tempfile::tempdir().context("cannot make a directory for counts")?;
    let pieces = said(&mut Command::new(program))?;
    let counts = pieces.lines().map(|piece| {
        let profile = directory.path().join(piece);
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
            .arg(format!("--toggle-collect=*{MEASURED}*"))
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(program)
            .arg(piece);
        let runs: u64 = said(&mut valgrind)?.trim().parse()?;
        let profile = fs::read_to_string(&profile).context("Valgrind left no counts")?;
        let total = total(&profile).with_context(|| format!("nothing of {piece} was counted"))?;
        Ok((piece.to_owned(), total / runs))
    });
    counts.collect()
}

/// Runs a program to its end, and gives what it printed.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed ({})", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The sum in a file of Callgrind's; none where nothing was counted.
fn total(profile: &str) -> Option<u64> {
    let mut totals = profile
        .lines()
        .filter_map(|line| line.strip_prefix("totals:"));
    totals
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|total| *total > 0)
}

/// What is committed beside what was counted.
struct Comparison {
    before: Counts,
    now: Counts,
}

impl Comparison {
    /// How far a piece is from what it was, in percent; none where it is not on
    /// both sides.
    fn change(&self, piece: &str) -> Option<f64> {
        let (before, now) = (self.before.get(piece)?, self.now.get(piece)?);
        Some((*now as f64 / *before as f64 - 1.0) * 100.0)
    }

    fn pieces(&self) -> impl Iterator<Item = &String> {
        let gone = self.before.keys();
        let gone = gone.filter(|piece| !self.now.contains_key(*piece));
        self.now.keys().chain(gone)
    }

    /// A line for each piece.
    fn lines(&self) -> impl Iterator<Item = String> {
        let of = |counts: &Counts, piece| counts.get(piece).map_or("-".into(), u64::to_string);
        self.pieces().map(move |piece| {
            let (before, now) = (of(&self.before, piece), of(&self.now, piece));
            let change = self.change(piece);
            let change = change.map_or("-".to_owned(), |it| format!("{it:+.1}%"));
            format!("{piece:16} {before:>8} -> {now:>8} instructions  {change}")
        })
    }

    /// The pieces that take more or less than they may, are new, or are gone.
    fn differing(&self) -> Vec<&str> {
        let differs = |piece: &&String| match (self.before.get(*piece), self.now.get(*piece)) {
            (Some(before), Some(now)) => now.abs_diff(*before) * 100 > before * TOLERANCE_PERCENT,
            _ => true,
        };
        self.pieces().filter(differs).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(before: &[(&str, u64)], now: &[(&str, u64)]) -> Comparison {
        let counts = |list: &[(&str, u64)]| {
            let pairs = list
                .iter()
                .map(|(piece, count)| ((*piece).to_owned(), *count));
            pairs.collect()
        };
        Comparison {
            before: counts(before),
            now: counts(now),
        }
    }

    #[test]
    fn a_piece_may_differ_by_five_percent_and_no_more() {
        let before = [
            ("dearer", 1_000),
            ("cheaper", 1_000),
            ("a", 1_000),
            ("b", 1_000),
        ];
        let now = [
            ("dearer", 1_051),
            ("cheaper", 949),
            ("a", 1_050),
            ("b", 950),
        ];
        let comparison = comparison(&before, &now);
        assert_eq!(comparison.differing(), ["cheaper", "dearer"]);
    }

    #[test]
    fn a_piece_that_is_new_or_gone_differs() {
        let comparison = comparison(&[("gone", 1), ("same", 1)], &[("new", 1), ("same", 1)]);
        assert_eq!(comparison.differing(), ["new", "gone"]);
        assert_eq!(comparison.lines().count(), 3);
    }

    #[test]
    fn the_sum_is_read_and_nothing_is_no_sum() {
        let profile = "events: Ir\nsummary: 7\n\nfn=(1) main\n1 7\n\ntotals: 12345\n";
        assert_eq!(total(profile), Some(12_345));
        assert_eq!(total("events: Ir\ntotals: 0\n"), None);
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn what_is_committed_can_be_read() {
        let committed = read(&cargo::workspace().join(COMMITTED)).unwrap();
        let counts = &committed["x86_64-linux"];
        assert!(counts.len() >= 2 && counts.values().all(|count| *count > 0));
    }
}
