//! Prints what the guests reported: a table case × kernel, below it what was passed over and why, and
//! what failed with all that is known of it.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Feature, Outcome, Report};

/// The table, reasons and failures.
pub(super) fn print(reports: &[Report]) {
    println!();
    print_row("case", reports.iter().map(|r| r.series.to_string()), 0);
    let names: BTreeSet<&str> = names(reports);
    let cases: BTreeSet<&str> = names.iter().map(|name| case_of(name)).collect();
    let width = cases.iter().map(|c| c.len()).max().unwrap_or_default();
    for case in &cases {
        print_row(case, reports.iter().map(|r| cell(r, case)), width);
    }
    print_row("all", reports.iter().map(|r| cell(r, "")), width);

    print_skips(reports);
    print_failures(reports);
    for report in reports {
        // `.ci/run` counts these lines.
        println!("kernel {} {}: {}", report.series, report.release, report.summary());
    }
}

fn print_row(head: &str, cells: impl Iterator<Item = String>, width: usize) {
    let width = width.max(22);
    let cells: String = cells.map(|cell| format!("  {cell:<20}")).collect();
    println!("{head:<width$}{}", cells.trim_end());
}

/// `12 ok`, `10 ok, 2 skipped`, `1 FAILED of 12`; all cases together for an empty name.
fn cell(report: &Report, case: &str) -> String {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, outcome) in &report.outcomes {
        if !case.is_empty() && case_of(name) != case {
            continue;
        }
        match outcome {
            Outcome::Pass => passed += 1,
            Outcome::Fail(_) => failed += 1,
            Outcome::Skip(_) => skipped += 1,
        }
    }
    match (passed, failed, skipped) {
        (0, 0, 0) => "-".into(),
        (_, 1.., _) => format!("{failed} FAILED of {}", passed + failed + skipped),
        (0, _, _) => format!("{skipped} skipped"),
        (_, _, 0) => format!("{passed} ok"),
        _ => format!("{passed} ok, {skipped} skipped"),
    }
}

/// The reasons, each with the kernels and the cases that it holds for.
fn print_skips(reports: &[Report]) {
    let mut skips: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for name in names(reports) {
        for report in reports {
            if let Some(Outcome::Skip(reason)) = report.outcomes.get(name) {
                skips.entry(reason).or_default().entry(name).or_default().push(report.series);
            }
        }
    }
    if skips.is_empty() {
        return;
    }
    println!("\nskipped:");
    for (reason, cases) in skips {
        println!("  {reason}");
        for (name, series) in cases {
            println!("    {name} ({})", series.join(", "));
        }
    }
}

fn print_failures(reports: &[Report]) {
    for report in reports {
        for (name, outcome) in &report.outcomes {
            if let Outcome::Fail(detail) = outcome {
                println!("\n---- {} {name} ----\n{detail}", report.series);
            }
        }
    }
    println!();
}

/// A table feature × kernel; answers that contradict the documented release are marked.
pub(super) fn print_features(reports: &[Report]) {
    let releases = reports.iter().map(|r| r.release.clone());
    print_row("feature        (since)", releases, 32);
    let Some(first) = reports.first() else { return };
    for Feature { name, since, .. } in &first.features {
        let cells = reports.iter().map(|report| {
            let Some(found) = report.features.iter().find(|f| f.name == *name) else {
                return "?".to_string();
            };
            let failed = report.outcomes.get(&format!("features::{name}")) != Some(&Outcome::Pass);
            let answer = if found.supported { "yes" } else { "no" };
            if failed { format!("{answer} (!)") } else { answer.into() }
        });
        print_row(&format!("{name:22} {since}"), cells, 32);
    }
}

/// What peer-diff printed on each kernel.
pub(super) fn print_peers(reports: &[Report]) {
    for report in reports {
        println!("\n==== {}\n", report.release);
        println!("{}", report.peer.as_deref().unwrap_or("it did not run"));
    }
    print_failures(reports);
}

fn names(reports: &[Report]) -> BTreeSet<&str> {
    reports.iter().flat_map(|r| r.outcomes.keys().map(String::as_str)).collect()
}

fn case_of(name: &str) -> &str {
    name.split("::").next().unwrap_or(name)
}
