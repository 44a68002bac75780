//! What a guest wrote, read back: the kernel's features and the outcome of each case.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::guest::MARK;
use super::machine::{CONSOLE, OUTPUT};
use super::packages::Kernel;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As expected.
    Pass,
    /// Not as expected; with what the runner says of it.
    Fail(String),
    /// Not run, and why.
    Skip(String),
}

/// A feature as `bpfweld features --json` tells it.
#[derive(Debug, PartialEq)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) supported: bool,
    /// The release that brought it, as documented.
    pub(super) since: String,
}

/// What came of one kernel.
#[derive(Debug)]
pub(super) struct Report {
    /// `6.1`.
    pub(super) series: &'static str,
    /// `6.1.0-9-cloud-amd64`, as the guest says.
    pub(super) release: String,
    pub(super) features: Vec<Feature>,
    /// By `case::run`.
    pub(super) outcomes: BTreeMap<String, Outcome>,
    /// What peer-diff printed, if it ran.
    pub(super) peer: Option<String>,
}

impl Report {
    /// That of a guest that did not get to its end: one failure, so that the others' are still told.
    pub(super) fn broken(kernel: &Kernel, error: &anyhow::Error) -> Self {
        Self {
            series: kernel.series,
            release: kernel.release.clone(),
            features: Vec::new(),
            outcomes: [("guest::ends".into(), Outcome::Fail(format!("{error:#}")))].into(),
            peer: None,
        }
    }

    /// Cases that failed.
    pub(super) fn failures(&self) -> usize {
        self.count(|o| matches!(o, Outcome::Fail(_)))
    }

    /// `300 passed, 0 failed, 12 skipped`.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.count(|o| *o == Outcome::Pass),
            self.failures(),
            self.count(|o| matches!(o, Outcome::Skip(_)))
        )
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.values().filter(|o| is(o)).count()
    }
}

/// Reads the logs of a guest that has ended.
pub(super) fn read(kernel: &Kernel, logs: &Path) -> Result<Report> {
    let file = logs.join(OUTPUT);
    let output = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let output = String::from_utf8_lossy(&output).replace('\r', "");
    parse(kernel.series, &output).with_context(|| {
        let console = std::fs::read(logs.join(CONSOLE)).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n  ");
        format!(
            "the guest did not get to its end; {} has all, its console ends:\n  {last}",
            logs.display()
        )
    })
}

fn parse(series: &'static str, output: &str) -> Result<Report> {
    let sections = sections(output);
    let section = |name: &str| {
        sections.get(name).copied().with_context(|| format!("no section {name} in its output"))
    };
    // Written last: without it, the rest is not whole.
    section("end")?;
    let release = section("release")?.trim();
    let features = features(section("features")?)?;
    let mut outcomes = BTreeMap::new();
    for (suite, text) in sections.iter().filter_map(|(s, t)| Some((s.strip_prefix("suite:")?, t))) {
        let stderr = section(&format!("stderr:{suite}"))?;
        add_outcomes(suite, text, stderr, &mut outcomes)
            .with_context(|| format!("{suite}: {}", stderr.trim()))?;
    }
    for feature in &features {
        outcomes.insert(format!("features::{}", feature.name), feature.outcome(release));
    }
    // Its exit status is the last line.
    let peer = sections.get("peer").map(|text| text.trim().to_string());
    if let Some(text) = &peer {
        let outcome = match text.ends_with("\n0") {
            true => Outcome::Pass,
            false => Outcome::Fail("there are differences".into()),
        };
        outcomes.insert("peer::same".into(), outcome);
    }
    Ok(Report { series, release: release.into(), features, outcomes, peer })
}

impl Feature {
    /// Is the answer the one that the documented release leads one to expect? These kernels are close
    /// to the ones of kernel.org, so that another answer is a fault of the probe or of the table of
    /// features, or else a fact that belongs here.
    fn outcome(&self, release: &str) -> Outcome {
        let expected = version(release) >= version(&self.since);
        if expected == self.supported {
            return Outcome::Pass;
        }
        let verb = if self.supported { "found" } else { "not found" };
        Outcome::Fail(format!("{verb} on {release}, documented since {}", self.since))
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-', '+']).map(|n| n.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// Text behind each mark up to the next, by the mark's name.
fn sections(output: &str) -> BTreeMap<&str, &str> {
    let parts = output.split(MARK).skip(1);
    parts
        .map(|part| {
            let (head, body) = part.split_once('\n').unwrap_or((part, ""));
            (head.split_whitespace().next().unwrap_or_default(), body)
        })
        .collect()
}

fn features(json: &str) -> Result<Vec<Feature>> {
    let json: Value = serde_json::from_str(json).with_context(|| format!("features: {json}"))?;
    let list = json["features"].as_array().context("features: no list")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    Ok(list
        .iter()
        .map(|f| Feature {
            name: text(&f["name"]),
            supported: f["supported"] == true,
            since: text(&f["since"]),
        })
        .collect())
}

/// Reads a test program's output: a line a test, and what it says of each that failed. Cases carry their
/// own name, other tests that of their program before it.
fn add_outcomes(
    suite: &str,
    text: &str,
    stderr: &str,
    outcomes: &mut BTreeMap<String, Outcome>,
) -> Result<()> {
    let (_, text) = text.split_once("\nrunning ").context("it ran no tests")?;
    let mut ended = 0;
    let announced: usize = text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default();
    let (list, details) = text.split_once("\nfailures:\n").unwrap_or((text, ""));
    for line in list.lines() {
        let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
        else {
            continue;
        };
        let name = name.trim();
        let outcome = match outcome {
            "ok" => match skipped(stderr, name) {
                Some(reason) => Outcome::Skip(reason.into()),
                None => Outcome::Pass,
            },
            "FAILED" => Outcome::Fail(detail(details, name).trim().into()),
            other => match other.strip_prefix("ignored") {
                Some(reason) => {
                    let reason = reason.trim();
                    let inner = reason.strip_prefix('(').and_then(|r| r.strip_suffix(')'));
                    Outcome::Skip(inner.unwrap_or(reason).into())
                }
                None => bail!("test {name}: {other}?"),
            },
        };
        ended += 1;
        let full = if suite == "cases" { name.into() } else { format!("{suite}::{name}") };
        outcomes.insert(full, outcome);
    }
    if ended != announced {
        bail!("{announced} tests were announced, {ended} ended");
    }
    Ok(())
}

/// Why a test that passed did nothing. Rust's own test runner knows no such outcome; the tests say it on
/// standard error.
fn skipped<'a>(stderr: &'a str, name: &str) -> Option<&'a str> {
    stderr.lines().find_map(|line| {
        let (test, reason) = line.strip_prefix("SKIPPED ")?.split_once(": ")?;
        (test == name).then_some(reason)
    })
}

/// What stands between a failed test's headline and the next one's.
fn detail<'a>(details: &'a str, name: &str) -> &'a str {
    let headlines = [format!("---- {name} ----\n"), format!("---- {name} stdout ----\n")];
    let Some((_, rest)) = headlines.iter().find_map(|h| details.split_once(h)) else { return "" };
    let end = ["\n---- ", "\nfailures:\n"].iter().filter_map(|mark| rest.find(mark)).min();
    &rest[..end.unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: &str = r#"{"kernel": "6.1", "features": [
        {"name": "bpf", "supported": true, "since": "3.18"},
        {"name": "isa-v4", "supported": false, "since": "6.6"}]}"#;

    fn output(cases: &str) -> String {
        format!(
            "boot noise\n{MARK} release\n6.1.0-9\n{MARK} features\n{FEATURES}\n{MARK} suite:cases\n\
             {cases}\n{MARK} stderr:cases\n{MARK} suite:real_kernel\n\
             \nrunning 2 tests\ntest x ... ok\ntest y ... ok\n\
             {MARK} stderr:real_kernel\nSKIPPED y: needs more\n{MARK} end\n"
        )
    }

    #[test]
    fn outcomes_with_reasons() {
        let cases = "\nrunning 3 tests\n\
            test a::one      ... ok\n\
            test a::two::dump ... ignored (needs feature:isa-v4 (really))\n\
            test b::x        ... FAILED\n\
            \nfailures:\n\n\
            ---- b::x ----\nexit status is 1\n--- bpfweld run\n\n\n\
            failures:\n    b::x\n\ntest result: FAILED. 1 passed\n";
        let report = parse("6.1", &output(cases)).unwrap();
        assert_eq!(report.release, "6.1.0-9");
        // Two of the passed ones are features.
        assert_eq!(report.summary(), "4 passed, 1 failed, 2 skipped");
        assert_eq!(report.outcomes["real_kernel::x"], Outcome::Pass);
        assert_eq!(report.outcomes["real_kernel::y"], Outcome::Skip("needs more".into()));
        assert_eq!(report.outcomes["a::one"], Outcome::Pass);
        assert_eq!(
            report.outcomes["b::x"],
            Outcome::Fail("exit status is 1\n--- bpfweld run".into())
        );
        assert!(!report.features[1].supported);
        let Outcome::Skip(reason) = &report.outcomes["a::two::dump"] else { panic!() };
        assert_eq!(reason, "needs feature:isa-v4 (really)");
    }

    #[test]
    fn a_feature_that_contradicts_its_release_fails() {
        let feature =
            |since: &str| Feature { name: "f".into(), supported: true, since: since.into() };
        assert_eq!(feature("5.9").outcome("5.10.0-3"), Outcome::Pass);
        assert_eq!(feature("5.10").outcome("5.10.0-3"), Outcome::Pass);
        assert_eq!(
            feature("5.11").outcome("5.10.0-3"),
            Outcome::Fail("found on 5.10.0-3, documented since 5.11".into())
        );
        let absent = Feature { supported: false, ..feature("4.18") };
        assert!(matches!(absent.outcome("5.10.0-3"), Outcome::Fail(_)));
    }

    #[test]
    fn a_guest_that_stops_half_way_is_an_error() {
        let cases = "\nrunning 2 tests\ntest a::one ... ok\ntest b::two ... ";
        let whole = output(cases);
        let e = parse("6.1", &whole).unwrap_err();
        assert!(format!("{e:#}").contains("b::two"), "{e:#}");
        let cut = whole.split(&format!("{MARK} end")).next().unwrap();
        let e = parse("6.1", cut).unwrap_err();
        assert!(format!("{e:#}").contains("end"), "{e:#}");
    }

    #[test]
    fn every_announced_test_must_have_ended() {
        let e = parse("6.1", &output("\nrunning 2 tests\ntest a::one ... ok\n")).unwrap_err();
        assert!(format!("{e:#}").contains("2 tests were announced, 1 ended"), "{e:#}");
    }
}
