//! The kernels that the cases run on, and what Debian's packages of them are called.
//!
//! Only series are named here, never a build: Debian removes a build when the next one is out.

/// A series of kernels, and where Debian has it.
#[derive(Debug)]
pub(super) struct Series {
    /// `6.1`.
    pub(super) name: &'static str,
    /// Groups of suites; the first group that has a package wins.
    pub(super) suites: &'static [&'static [&'static str]],
}

/// Every series, oldest first.
pub(super) const ALL: &[Series] = &[
    Series { name: "5.10", suites: &[&["bullseye", "bullseye-security"]] },
    Series { name: "6.1", suites: &[&["bookworm", "bookworm-security"]] },
    Series {
        name: "6.12",
        suites: &[&["bookworm-security", "bookworm-backports"], &["trixie", "trixie-security"]],
    },
    Series { name: "7.2", suites: &[&["sid"], &["testing"]] },
];

/// The series of that name.
pub(super) fn parse(name: &str) -> Result<&'static Series, String> {
    ALL.iter().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|s| s.name).collect();
        format!("there is {}", names.join(", "))
    })
}

impl Series {
    /// Sets of packages that hold a kernel of this series, newest first: a set is fetched whole or not
    /// at all. `names` are the packages that the archive has.
    ///
    /// Until 6.12 one package holds kernel, configuration and modules; since then three do. The cloud
    /// flavour is smaller and has all that qemu's machine needs.
    pub(super) fn candidates(&self, names: &[String]) -> Vec<Vec<String>> {
        let mut sets: Vec<Vec<String>> = Vec::new();
        for name in names {
            if self.flavour(name, "linux-image-", "-cloud-amd64-unsigned").is_some() {
                sets.push(vec![name.clone()]);
            } else if let Some(build) = self.flavour(name, "linux-binary-unsigned-", "-cloud-amd64")
            {
                let rest = ["linux-modules-", "linux-base-"].map(|p| format!("{p}{build}"));
                let there = rest.into_iter().filter(|r| names.contains(r));
                sets.push(std::iter::once(name.clone()).chain(there).collect());
            }
        }
        sets.sort_by_cached_key(|set| std::cmp::Reverse(set.first().map(|n| numbers(n))));
        sets
    }

    /// `6.1.0-9-cloud-amd64` of `linux-image-6.1.0-9-cloud-amd64-unsigned`, if it is this series.
    fn flavour<'a>(&self, package: &'a str, prefix: &str, suffix: &str) -> Option<&'a str> {
        let build = package.strip_prefix(prefix)?;
        let in_series = build.strip_prefix(self.name)?.strip_prefix('.')?;
        in_series.ends_with(suffix).then(|| build.trim_end_matches("-unsigned"))
    }
}

/// All numbers in a name, which is how builds of a series are ordered.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(series: &str, names: &[&str]) -> Vec<Vec<String>> {
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        parse(series).unwrap().candidates(&names)
    }

    #[test]
    fn newest_build_first() {
        let found = candidates(
            "6.1",
            &[
                "linux-image-6.1.0-9-cloud-amd64-unsigned",
                "linux-image-6.1.0-56-cloud-amd64-unsigned",
                "linux-image-6.1.0-100-cloud-amd64-unsigned",
                "linux-image-6.1.0-56-cloud-amd64",
                "linux-image-6.1.0-56-rt-amd64-unsigned",
                "linux-image-6.12.9+deb12-cloud-amd64-unsigned",
            ],
        );
        let firsts: Vec<&str> = found.iter().map(|set| set[0].as_str()).collect();
        assert_eq!(
            firsts,
            [
                "linux-image-6.1.0-100-cloud-amd64-unsigned",
                "linux-image-6.1.0-56-cloud-amd64-unsigned",
                "linux-image-6.1.0-9-cloud-amd64-unsigned"
            ]
        );
    }

    #[test]
    fn split_packages_come_together() {
        let found = candidates(
            "7.2",
            &[
                "linux-modules-7.2.13+deb14-cloud-amd64",
                "linux-modules-7.2.13+deb14-amd64",
                "linux-binary-unsigned-7.2.13+deb14-cloud-amd64",
                "linux-binary-unsigned-7.2.13+deb14-amd64",
            ],
        );
        assert_eq!(
            found,
            [[
                "linux-binary-unsigned-7.2.13+deb14-cloud-amd64",
                "linux-modules-7.2.13+deb14-cloud-amd64"
            ]]
        );
    }

    #[test]
    fn unknown_series_lists_what_there_is() {
        assert_eq!(parse("4.19").unwrap_err(), "there is 5.10, 6.1, 6.12, 7.2");
    }
}
