//! What `check`, `run` and `load` have in common: the command line turned into a request to the
//! library, its objects opened, bound and linked, and how the kernel is to load them.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use bpfweld::engine::EngineOptions;
use bpfweld::kernel::VerifierLog;
use bpfweld::link::kconfig::{Config, KernelFacts};
use bpfweld::{Feature, ImageSet, Kernel, Linked, LoadOptions, Request, Wire, kernel_btf};
use flate2::read::GzDecoder;

use crate::args::{LinkArgs, OutputArgs};
use crate::error::Failure;
use crate::instances::{Wiring, nearest};
use crate::output::{Style, note};
use crate::wishes::Wishes;

/// Bytes of a `--kconfig` file that are looked at: real ones take 300 KiB.
const MAX_KCONFIG: u64 = 16 << 20;
/// How a file by gzip begins (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The job of a command line: what to link, and how to load it.
pub(crate) struct Session {
    request: Request,
    /// The running kernel, less what `--without` takes away.
    pub(crate) kernel: Kernel,
    /// How to load.
    pub(crate) options: LoadOptions,
}

impl Session {
    /// Looks up names and reads the files of options; opens no object yet.
    pub(crate) fn new(args: &LinkArgs) -> Result<Self, Failure> {
        let wiring = Wiring::new(args)?;
        let kernel = Kernel::new();
        for name in &args.without {
            kernel.features().force(feature(name)?, false);
        }
        let kernel_btf = match &args.kernel_btf {
            Some(path) => Some(kernel_btf(path).map_err(|error| {
                Failure::new(format!("cannot read the kernel's types: {error}"))
                    .code(crate::error::INPUT)
                    .hint("--kernel-btf names BTF as in /sys/kernel/btf/vmlinux, or an ELF file that has it")
            })?),
            None => None,
        };
        let kconfig = args.kconfig.as_deref().map(kconfig).transpose()?;
        let wishes = Wishes::new(args, &wiring, &kernel)?;
        let objects = wiring.instances.into_iter().map(|i| (i.label, i.path));
        let bindings = wiring.bindings.into_iter().map(|wire| Wire {
            from: wire.caller,
            name: wire.name,
            to: wire.target,
            function: wire.function,
        });
        Ok(Self {
            request: Request {
                objects: objects.collect(),
                bindings: bindings.collect(),
                entry: args.entry.clone(),
                static_functions: args.static_functions,
                maps: wishes.maps,
                programs: wishes.programs,
                kernel_btf: kernel_btf.clone(),
            },
            kernel,
            options: LoadOptions {
                log_level: args.log_level,
                kconfig,
                kernel_btf,
                pin_root: args.pin_root.clone(),
                maps: wishes.map_options,
                targets: wishes.targets,
                ..LoadOptions::default()
            },
        })
    }

    /// Opens, binds and links; and tells what of the objects was taken with a note.
    pub(crate) fn link(&self) -> Result<Linked, Failure> {
        let link = self.request.open()?;
        for instance in link.instances() {
            for text in &instance.object.notes {
                note(&format!("{}: {text}", instance.label));
            }
        }
        Ok(self.request.link(link, &self.kernel)?)
    }

    /// How the engine loads: what externs see of the kernel is what this one would tell.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let release = release.trim();
        let running = || {
            let boot = format!("/boot/config-{release}");
            let files = [Path::new("/proc/config.gz"), Path::new(&boot)];
            files.into_iter().find_map(|file| kconfig(file).ok())
        };
        let kernel = KernelFacts {
            version: version_code(release),
            has_bpf_cookie: true,
            has_syscall_wrapper: true,
        };
        let kconfig = self.options.kconfig.clone().or_else(running);
        EngineOptions { kconfig, kernel, ..EngineOptions::default() }
    }

    /// What to link.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The image of the one program that `run` runs.
    pub(crate) fn image(&self) -> Result<ImageSet, Failure> {
        let linked = self.link()?;
        Ok(linked.images(&[self.request.entry(&linked)?])?)
    }
}

/// The verifier's log of a program that was taken, for who asked for it; on standard error.
pub(crate) fn show_log(name: &str, log: Option<&VerifierLog>, output: OutputArgs) {
    let Some(log) = log.filter(|log| !log.is_empty()) else { return };
    let stderr = io::stderr();
    let style = Style::of(&stderr);
    let condensed = log.condensed();
    let text = if output.verbose { log.text() } else { &condensed };
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(
        stderr.lock(),
        "{}\n{}",
        style.bold(&format!("verifier on {name}:")),
        text.trim_end()
    );
}

/// `KERNEL_VERSION` of a release such as `6.12.1-amd64`.
fn version_code(release: &str) -> u32 {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    let parts = release[..end].split('.').map(|part| part.parse().unwrap_or(0));
    let [a, b, c] = parts.chain([0, 0, 0]).take(3).collect::<Vec<u32>>()[..] else { return 0 };
    (a & 0xff) << 16 | (b & 0xff) << 8 | c.min(255)
}

pub(crate) fn feature(name: &str) -> Result<Feature, Failure> {
    Feature::from_name(name).ok_or_else(|| {
        let failure = Failure::usage(format!("there is no feature `{name}`"));
        let names = Feature::ALL.iter().map(|feature| feature.name().to_owned());
        match nearest(name, names) {
            near if near.is_empty() => failure.hint("`bpfweld features` lists them"),
            near => failure.hint(format!("did you mean {}?", near.join(" or "))),
        }
    })
}

fn kconfig(path: &Path) -> Result<Config, Failure> {
    let failed = |problem: String| {
        Failure::new(format!("cannot read the kernel configuration {}: {problem}", path.display()))
            .code(crate::error::INPUT)
    };
    let bytes = fs::read(path).map_err(|e| failed(e.to_string()))?;
    let mut text = Vec::new();
    let read = match bytes.starts_with(&GZIP_MAGIC) {
        true => GzDecoder::new(&*bytes).take(MAX_KCONFIG).read_to_end(&mut text),
        false => bytes.take(MAX_KCONFIG).read_to_end(&mut text),
    };
    read.map_err(|e| failed(e.to_string()))?;
    Ok(Config::parse(&String::from_utf8_lossy(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_may_be_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, packed) = (dir.path().join("config"), dir.path().join("config.gz"));
        fs::write(&plain, "CONFIG_HZ=250\n").unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"CONFIG_HZ=100\n").unwrap();
        fs::write(&packed, encoder.finish().unwrap()).unwrap();
        assert_eq!(kconfig(&plain).unwrap().value("CONFIG_HZ"), Some("250"));
        assert_eq!(kconfig(&packed).unwrap().value("CONFIG_HZ"), Some("100"));
        fs::write(&packed, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(kconfig(&packed).err().unwrap().to_string().contains("config.gz"));
    }

    #[test]
    fn versions_of_releases() {
        assert_eq!(version_code("6.12.1-amd64"), 0x06_0c_01);
        assert_eq!(version_code("4.9.337"), 0x04_09_ff);
        assert_eq!(version_code(""), 0);
    }

    #[test]
    fn features_by_name() {
        assert_eq!(feature("btf").unwrap(), Feature::Btf);
        let error = feature("btf-dataset").err().unwrap();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_text().contains("btf-datasec"), "{}", error.to_text());
    }
}
