//! `bpfweld-measured WORK PARTY`: what `peer-bench` measures, one object after the other, on one side. The
//! objects are on the standard input, what became of them on the standard output.
//!
//! `prepare` is the whole load with every bpf(2) call that makes something answered on the spot
//! ([`pretend`]): all that a loader does itself, and nothing of what the kernel does.

mod pretend;
#[path = "../system_call.rs"]
mod system_call;
#[path = "../work.rs"]
mod work;

use std::ffi::{CString, c_void};
use std::fs;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bpfweld::object::Bytes;
use bpfweld::{InstanceId, Kernel, Link, LinkOptions, LoadOptions, Object};
use libbpf_sys as sys;

use crate::work::{Outcome, Party, Work};
use pretend::stand_in;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, party] = arguments.as_slice() else { anyhow::bail!("WORK PARTY") };
    let works = [Work::Open, Work::Prepare, Work::Count, Work::Nothing];
    let parties = [Party::Ours, Party::Theirs];
    let work = works.into_iter().find(|w| w.name() == work).context("no such work")?;
    let party = parties.into_iter().find(|p| p.name() == party).context("no such party")?;
    if party == Party::Theirs {
        // Not else: it would bring libbpf's code into the memory of the other side.
        unsafe { sys::libbpf_set_print(None) };
    }
    let outcomes: Result<Vec<_>> =
        std::io::stdin().lines().map(|path| one(work, party, Path::new(&path?))).collect();
    serde_json::to_writer(std::io::stdout().lock(), &outcomes?)?;
    Ok(())
}

/// The only function that is counted.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn bpfweld_peer_measured(work: &mut dyn FnMut()) {
    work();
}

fn one(work: Work, party: Party, path: &Path) -> Result<Outcome> {
    // Neither side has to copy the file.
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let bytes = Bytes::from(bytes);
    let name = path.display().to_string();
    let mut done = Ok(Kept::Nothing);
    let mut measured = || {
        done = match (work, party) {
            (Work::Open, Party::Ours) => open_ours(&name, &bytes).map(Kept::Ours),
            (Work::Open, Party::Theirs) => open_theirs(&name, &bytes).map(Kept::Theirs),
            (Work::Prepare, Party::Ours) => prepare_ours(&name, &bytes),
            (Work::Prepare, Party::Theirs) => prepare_theirs(&name, &bytes).map(Kept::Theirs),
            _ => return,
        }
    };
    let before = processor_time();
    bpfweld_peer_measured(&mut measured);
    let time = processor_time() - before;
    let mut outcome = Outcome { error: done.err(), records: 0, time, peak: peak()? };
    if work == Work::Count {
        let object = open_ours(&name, &bytes);
        let records = |o: Arc<Object>| o.functions.iter().map(|f| f.core_relocs.len()).sum();
        outcome.records = object.map_or(0, records);
    }
    Ok(outcome)
}

/// What was made: given back after the measurement.
enum Kept {
    Nothing,
    Ours(#[expect(dead_code, reason = "dropped, no more")] Arc<Object>),
    Theirs(#[expect(dead_code, reason = "dropped, no more")] Theirs),
}

struct Theirs(*mut sys::bpf_object);

impl Drop for Theirs {
    fn drop(&mut self) {
        unsafe { sys::bpf_object__close(self.0) };
    }
}

fn open_ours(name: &str, bytes: &Bytes) -> Result<Arc<Object>, String> {
    Object::parse_shared(name, bytes.clone()).map(Arc::new).map_err(|e| e.to_string())
}

fn open_theirs(name: &str, bytes: &[u8]) -> Result<Theirs, String> {
    let mut options: sys::bpf_object_open_opts = unsafe { std::mem::zeroed() };
    options.sz = size_of::<sys::bpf_object_open_opts>() as _;
    let name = CString::new(name).map_err(|e| e.to_string())?;
    options.object_name = name.as_ptr();
    let at = bytes.as_ptr().cast::<c_void>();
    let object = unsafe { sys::bpf_object__open_mem(at, bytes.len() as _, &options) };
    match object.is_null() {
        true => Err(std::io::Error::last_os_error().to_string()),
        false => Ok(Theirs(object)),
    }
}

fn prepare_ours(name: &str, bytes: &Bytes) -> Result<Kept, String> {
    let object = open_ours(name, bytes)?;
    // A kernel anew each time: what it remembers is part of the work.
    let kernel = Kernel::new();
    let mut link = Link::new();
    link.add("object", object.clone()).map_err(|e| e.to_string())?;
    let core_targets = match link.core_object() {
        Some(_) => Some(kernel.core_targets().map_err(|e| e.to_string())?),
        None => None,
    };
    let options = LinkOptions { core_targets, ..LinkOptions::default() };
    let linked = link.link(&options).map_err(|e| e.to_string())?;
    let entries =
        object.functions.iter().filter(|f| f.program.as_ref().is_some_and(|p| p.autoload));
    let entries: Result<Vec<_>, _> =
        entries.map(|f| linked.entry(InstanceId(0), Some(&f.name))).collect();
    let images = linked.images(&entries.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    kernel.load(&images, &LoadOptions::default()).map_err(|e| e.to_string())?;
    Ok(Kept::Ours(object))
}

fn prepare_theirs(name: &str, bytes: &[u8]) -> Result<Theirs, String> {
    let object = open_theirs(name, bytes)?;
    match unsafe { sys::bpf_object__load(object.0) } {
        0 => Ok(object),
        error => Err(std::io::Error::from_raw_os_error(-error).to_string()),
    }
}

fn processor_time() -> u64 {
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, ptr::from_mut(&mut time)) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// `VmHWM`.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let word = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
    Ok(word.parse()?)
}
