//! An apt of our own: other suites than the machine's, with state, cache and sources in a directory of
//! ours. The machine's own apt sees nothing of it.
//!
//! Where Debian's archive is, is the machine's business: its own sources say it, and only the suite is
//! replaced. So a mirror, a proxy or a cache that the machine uses is used here as well.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// Debian's signing keys, where its packages put them. Without the file, apt's own list of trusted keys
/// has to do.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Addresses of Debian's archives.
#[derive(Debug, PartialEq)]
pub(super) struct Archives {
    /// Those with the suites `bookworm`, `bookworm-backports`, …
    main: Vec<String>,
    /// Those with the suites `bookworm-security`, …
    security: Vec<String>,
}

impl Archives {
    /// Those that the machine's apt fetches from, or the given ones.
    pub(super) fn find(mirrors: &[String]) -> Result<Self> {
        if !mirrors.is_empty() {
            return Ok(Self::sort(mirrors.iter().map(String::as_str)));
        }
        let output = Command::new("apt-get")
            .args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
            .arg("Component: main")
            .output()
            .context("apt-get")?;
        let found = Self::sort(String::from_utf8_lossy(&output.stdout).lines());
        if found.main.is_empty() {
            bail!(
                "this machine's apt knows no Debian archive; run apt-get update, or name one with \
                 --mirror"
            );
        }
        Ok(found)
    }

    /// Debian's archives among the addresses, told by the directory that every mirror of them has.
    fn sort<'a>(addresses: impl Iterator<Item = &'a str>) -> Self {
        let mut archives = Self { main: Vec::new(), security: Vec::new() };
        for address in addresses {
            let address = address.trim().trim_end_matches('/');
            let has = |dir: &str| address.split('/').any(|part| part == dir);
            let list = match (has("debian-security"), has("debian")) {
                (true, _) => &mut archives.security,
                (_, true) => &mut archives.main,
                _ => continue,
            };
            if !list.iter().any(|known| known == address) {
                list.push(address.into());
            }
        }
        archives
    }

    /// A sources list with only those suites.
    fn sources(&self, suites: &[&str], keyring: Option<&Path>) -> String {
        // Only the lists of packages: no descriptions, no icons.
        let mut options = "arch=amd64 target=Packages".to_string();
        if let Some(keyring) = keyring {
            options += &format!(" signed-by={}", keyring.display());
        }
        let mut text = String::new();
        for suite in suites {
            let hosts = if suite.ends_with("-security") { &self.security } else { &self.main };
            for host in hosts {
                text += &format!("deb [{options}] {host} {suite} main\n");
            }
        }
        text
    }
}

/// An apt with its own sources and state, in a directory.
pub(super) struct Apt {
    config: PathBuf,
    /// What went wrong so far, for the report when nothing is found.
    complaints: Vec<String>,
}

impl Apt {
    /// Sets it up for those suites and fetches their lists of packages.
    pub(super) fn set_up(dir: &Path, archives: &Archives, suites: &[&str]) -> Result<Self> {
        for sub in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(dir.join(sub)).with_context(|| dir.display().to_string())?;
        }
        let keyring = Path::new(KEYRING);
        let sources = archives.sources(suites, keyring.exists().then_some(keyring));
        std::fs::write(dir.join("sources.list"), sources)?;
        std::fs::write(dir.join("status"), "")?;
        let config = dir.join("apt.conf");
        std::fs::write(&config, configuration(dir))?;

        let mut apt = Self { config, complaints: Vec::new() };
        // A suite that has gone fails the update, and the others may still do.
        let output = apt.command("apt-get").arg("update").output().context("apt-get")?;
        apt.note(&output);
        Ok(apt)
    }

    /// Names of all packages that begin so.
    pub(super) fn names(&mut self, prefix: &str) -> Result<Vec<String>> {
        let output =
            self.command("apt-cache").args(["pkgnames", prefix]).output().context("apt-cache")?;
        self.note(&output);
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect())
    }

    /// Fetches packages into a directory; `false` when the archive does not have one of them.
    pub(super) fn download(&mut self, packages: &[String], into: &Path) -> Result<bool> {
        let mut command = self.command("apt-get");
        let output = command.arg("download").args(packages).current_dir(into).output();
        let output = output.context("apt-get")?;
        self.note(&output);
        Ok(output.status.success())
    }

    /// What apt complained about, a line each.
    pub(super) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-q").arg("-c").arg(&self.config).env("LC_ALL", "C");
        command
    }

    fn note(&mut self, output: &Output) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        // A list that cannot be fetched is but a warning to apt.
        let is_error = |l: &&str| l.starts_with("E:") || l.starts_with("W: Failed to fetch");
        let errors = stderr.lines().filter(is_error);
        self.complaints.extend(errors.map(String::from));
    }
}

/// The machine's apt.conf.d still counts (proxies); what it says of directories, and the commands that
/// it hangs on to an update, do not.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "Dir::State \"{dir}/state\";\n\
         Dir::State::status \"{dir}/status\";\n\
         Dir::Cache \"{dir}/cache\";\n\
         Dir::Etc::SourceList \"{dir}/sources.list\";\n\
         Dir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"/dev/null\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"3\";\n\
         #clear APT::Update::Pre-Invoke;\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n\
         #clear DPkg::Post-Invoke;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archives() -> Archives {
        Archives::sort(
            [
                "http://deb.example/debian/",
                "http://deb.example/debian/",
                "http://deb.example/debian-security/",
                "https://apt.example/node",
            ]
            .into_iter(),
        )
    }

    #[test]
    fn only_debian_and_each_once() {
        let found = archives();
        assert_eq!(found.main, ["http://deb.example/debian"]);
        assert_eq!(found.security, ["http://deb.example/debian-security"]);
    }

    #[test]
    fn security_suites_come_from_the_security_archive() {
        let text = archives().sources(&["bullseye", "bullseye-security"], None);
        assert_eq!(
            text,
            "deb [arch=amd64 target=Packages] http://deb.example/debian bullseye main\n\
             deb [arch=amd64 target=Packages] http://deb.example/debian-security \
             bullseye-security main\n"
        );
    }
}
