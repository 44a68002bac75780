//! Loading with calls fused, and without where the kernel does not take it so.

use std::collections::BTreeSet;

use bpfweld_kernel::{Feature, LoadError, LoadOptions, Loaded, Prepared, Program, VerifierLog};
use bpfweld_link::fuse::{FuseOptions, FuseReport, ImageReport, Origin, Policy, fuse_image};
use bpfweld_link::{Image, ImageSet};

use crate::Kernel;

/// What the verifier says of a program of too many paths (`errno.h`).
const E2BIG: i32 = 7;
/// How many functions are given up one by one before all are.
const MAX_GIVEN_UP: usize = 8;

/// A set that was loaded with calls fused.
#[derive(Debug)]
pub struct Fused {
    /// What was loaded: maps and types of the set that was given, images as the kernel took them.
    pub images: ImageSet,
    /// What was fused, and why the rest was not.
    pub report: FuseReport,
    /// The programs and maps. Its warnings name what the kernel did not take fused.
    pub loaded: Loaded,
}

impl Kernel {
    /// Like [`Kernel::load`], with calls fused as the policy says.
    ///
    /// Nothing that loads without fails with it: where the kernel refuses a fused program, the function
    /// that its verifier stopped in stays a call, at last all of them do, and a warning says so.
    pub fn load_fused(
        &self,
        images: &ImageSet,
        options: &LoadOptions,
        policy: Policy,
    ) -> Result<Fused, LoadError> {
        // It matters to no other program: asking the kernel takes time.
        let long_jumps = policy == Policy::Always && self.features().get(Feature::IsaV4);
        let mut prepared = self.prepare(images, options)?;
        let mut programs = Vec::with_capacity(images.images.len());
        let mut reports = Vec::with_capacity(images.images.len());
        let mut taken = Vec::with_capacity(images.images.len());
        for image in &images.images {
            let how = FuseOptions { policy, except: BTreeSet::new(), long_jumps };
            let (program, image, report) = load_one(&mut prepared, image, how)?;
            programs.push(program);
            taken.push(image);
            reports.push(report);
        }
        let loaded = prepared.finish(programs)?;
        let images = ImageSet {
            images: taken,
            maps: images.maps.clone(),
            btf: images.btf.clone(),
            entries: images.entries,
            warnings: images.warnings.clone(),
            origin: images.origin.clone(),
        };
        Ok(Fused { images, report: FuseReport { images: reports }, loaded })
    }
}

fn load_one(
    prepared: &mut Prepared<'_>,
    image: &Image,
    options: FuseOptions,
) -> Result<(Program, Image, ImageReport), LoadError> {
    let (fused, report) = fuse_image(image, &options);
    match prepared.load_as(&fused) {
        Ok(program) => Ok((program, fused, report)),
        Err(error) if report.fused.is_empty() => Err(error),
        Err(error) => load_less_fused(prepared, image, options, (error, report)),
    }
}

/// Loads what the kernel refused, fused as this report says.
#[cold]
fn load_less_fused(
    prepared: &mut Prepared<'_>,
    image: &Image,
    mut options: FuseOptions,
    mut refused: (LoadError, ImageReport),
) -> Result<(Program, Image, ImageReport), LoadError> {
    // Is it the fusing at all? If not, what the verifier says of the program as it was is what helps.
    let plain = prepared.load_as(image)?;
    while options.except.len() < MAX_GIVEN_UP {
        let Some(origin) = culprit(&refused.0, image, &refused.1) else { break };
        if !options.except.insert(origin) {
            break;
        }
        let (fused, report) = fuse_image(image, &options);
        if report.fused.is_empty() {
            break;
        }
        match prepared.load_as(&fused) {
            Ok(program) => {
                let kept = report.kept.iter().filter(|k| options.except.contains(&k.callee));
                let names: BTreeSet<&str> = kept.map(|k| k.name.as_str()).collect();
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                prepared.warn(format!(
                    "program `{}` of `{}`: {} stayed a call, because the kernel refused the program \
                     with it fused",
                    image.name,
                    image.instance,
                    names.join(", ")
                ));
                return Ok((program, fused, report));
            }
            Err(error) => refused = (error, report),
        }
    }
    let reason = match &refused.0 {
        LoadError::Rejected(rejected) => rejected.log.reason().unwrap_or_default().to_owned(),
        error => error.to_string(),
    };
    prepared.warn(format!(
        "program `{}` of `{}` is loaded without fused calls, because the kernel refused it with \
         them: {reason}",
        image.name, image.instance
    ));
    let (image, report) =
        fuse_image(image, &FuseOptions { policy: Policy::Never, ..FuseOptions::default() });
    Ok((plain, image, report))
}

/// The fused function whose code the verifier stopped in.
fn culprit(error: &LoadError, image: &Image, report: &ImageReport) -> Option<Origin> {
    let LoadError::Rejected(rejected) = error else { return None };
    // Too many paths are nobody's fault alone.
    if rejected.errno.raw_os_error() == Some(E2BIG) {
        return None;
    }
    let at = last_instruction(&rejected.log)?;
    let region = report.regions.iter().rfind(|region| region.start <= at)?;
    let origin = image.functions.get(region.function as usize)?.origin;
    report.fused.iter().any(|call| call.callee == origin).then_some(origin)
}

/// The instruction that the verifier looked at last: "12: (85) call …".
fn last_instruction(log: &VerifierLog) -> Option<u32> {
    log.lines().rev().find_map(|line| {
        let (at, rest) = line.trim_start().split_once(':')?;
        rest.trim_start().starts_with('(').then(|| at.parse().ok())?
    })
}
