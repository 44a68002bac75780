//! Kernels on disk: what is unpacked already, and how to get what is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Options;
use super::apt::{Apt, Archives};
use super::series::Series;

/// Written last into a kernel's directory: the packages it was unpacked from, a line each.
const STAMP: &str = "packages";

/// How many builds to try. Lists of packages run ahead of the archive: a build that they name may be
/// gone from it, or not there yet.
const TRIES: usize = 8;

/// An unpacked kernel.
pub(super) struct Kernel {
    /// `6.1`.
    pub(super) series: &'static str,
    /// `6.1.0-9-cloud-amd64`.
    pub(super) release: String,
    /// What qemu boots.
    pub(super) image: PathBuf,
    /// Its configuration, if the packages have it.
    pub(super) config: Option<PathBuf>,
    /// `lib/modules/RELEASE`.
    pub(super) modules: PathBuf,
}

/// Gives every kernel, fetching those that are not there.
pub(super) fn provide(
    wanted: &[&'static Series],
    cache: &Path,
    options: &Options,
) -> Result<Vec<Kernel>> {
    wanted
        .iter()
        .map(|series| {
            let dir = cache.join(series.name);
            if options.refresh || !dir.join(STAMP).exists() {
                fetch(series, cache, &dir, &options.mirrors)
                    .with_context(|| format!("kernel {}", series.name))?;
            }
            look(series, &dir).with_context(|| {
                format!("kernel {} (remove {} to fetch it again)", series.name, dir.display())
            })
        })
        .collect()
}

fn fetch(series: &Series, cache: &Path, dir: &Path, mirrors: &[String]) -> Result<()> {
    let archives = Archives::find(mirrors)?;
    let mut complaints = Vec::new();
    for suites in series.suites {
        let scratch = tempfile::tempdir_in(cache)?;
        let mut apt = Apt::set_up(&scratch.path().join("apt"), &archives, suites)?;
        let names = apt.names("linux-")?;
        let debs = scratch.path().join("debs");
        for packages in series.candidates(&names).into_iter().take(TRIES) {
            if debs.exists() {
                fs::remove_dir_all(&debs)?;
            }
            fs::create_dir(&debs)?;
            if apt.download(&packages, &debs)? {
                println!("{}: unpacking {}", series.name, packages.join(", "));
                return unpack(&debs, &packages, &scratch.path().join("root"), dir);
            }
        }
        complaints.extend_from_slice(apt.complaints());
    }
    let suites: Vec<&str> = series.suites.iter().flat_map(|group| group.iter().copied()).collect();
    bail!(
        "no package of it could be had from the suites {}; is the archive reachable, and does it \
         have them? (--mirror names another){}",
        suites.join(", "),
        complaints.iter().map(|c| format!("\n  {c}")).collect::<String>()
    )
}

/// Unpacks beside and then moves, so that half a kernel is never taken for one.
fn unpack(debs: &Path, packages: &[String], root: &Path, dir: &Path) -> Result<()> {
    for deb in fs::read_dir(debs)? {
        let status = Command::new("dpkg").arg("-x").arg(deb?.path()).arg(root).status();
        if !status.context("dpkg")?.success() {
            bail!("dpkg cannot unpack it");
        }
    }
    fs::write(root.join(STAMP), packages.join("\n") + "\n")?;
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::rename(root, dir).with_context(|| dir.display().to_string())
}

/// Finds what matters in an unpacked kernel's directory.
fn look(series: &Series, dir: &Path) -> Result<Kernel> {
    let modules = ["lib/modules", "usr/lib/modules"]
        .iter()
        .filter_map(|sub| fs::read_dir(dir.join(sub)).ok()?.flatten().next())
        .map(|entry| entry.path())
        .next()
        .context("the packages hold no modules")?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let first = |paths: [PathBuf; 3]| paths.into_iter().find(|p| p.is_file());
    let image = first([
        dir.join(format!("boot/vmlinuz-{release}")),
        modules.join("vmlinuz"),
        modules.join("vmlinuz.unsigned"),
    ]);
    let config = first([
        dir.join(format!("boot/config-{release}")),
        modules.join("config"),
        dir.join(format!("usr/lib/linux/config-{release}")),
    ]);
    Ok(Kernel {
        series: series.name,
        image: image.context("the packages hold no kernel")?,
        config,
        release,
        modules,
    })
}
