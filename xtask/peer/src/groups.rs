//! `cargo xtask peer-groups`: the selftests of the kernel that are made of several objects, linked in every
//! order of them. The output is opened, loaded and run by libbpf and by bpfweld: what the programs leave in
//! their variables has to be what the selftests expect, and the same, byte for byte, in both.
//! Instructions are compared, too, with what libbpf's own linker makes of the same objects, and with what each
//! linker makes of the other's outputs.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bpfweld::object::DataKind;
use bpfweld::static_link::{self, Linker};
use bpfweld::{InstanceId, Kernel, Link, LinkOptions, LoadOptions, Object};
use libbpf_rs::{MapCore as _, MapFlags, ObjectBuilder};
use libbpf_sys as sys;

use crate::record::Side;
use crate::report::Report;
use crate::{child_with, compare, link_bench, relink, usdt};

#[derive(clap::Args)]
pub struct Options {
    /// Directories with the objects of the selftests: `target/corpus/clang-19-v3`, …
    #[arg(required = true)]
    sets: Vec<PathBuf>,
    /// Only groups whose name contains this
    #[arg(long)]
    filter: Option<String>,
    /// Differences that are meant to be
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/allowed.toml"))]
    allowed: PathBuf,
    /// Seconds that one side has for one object
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

/// A selftest of several objects.
struct Group {
    name: &'static str,
    objects: &'static [&'static str],
    /// Programs to run, in this order.
    run: &'static [&'static str],
    /// Are they run by attaching them, to probes of this process? Of their type there are no test runs.
    attached: bool,
    /// Variables as they are to be at the start. [`THREAD`], [`PROCESS`] and [`CALL`] stand for themselves.
    set: &'static [(&'static str, i64)],
    /// Variables as they are to be at the end; the second value where the second object comes before the
    /// first: of weak definitions the first counts.
    expect: &'static [(&'static str, i64, i64)],
}

/// The thread that runs the programs.
const THREAD: i64 = i64::MIN;
/// This process.
const PROCESS: i64 = i64::MIN + 1;
/// The number of the system call that the programs are told of: any.
const CALL: i64 = 121;

const GROUPS: [Group; 6] = [
    Group {
        name: "linked_funcs",
        objects: &["linked_funcs1", "linked_funcs2"],
        run: &["handler1", "handler2"],
        attached: false,
        set: &[("my_tid", THREAD), ("syscall_id", CALL)],
        expect: &[
            ("output_val1", 4000, 4000),
            ("output_ctx1", CALL, CALL),
            ("output_weak1", 42, 0),
            ("output_val2", 6000, 6000),
            ("output_ctx2", CALL, CALL),
            ("output_weak2", 0, 42),
        ],
    },
    Group {
        name: "linked_vars",
        objects: &["linked_vars1", "linked_vars2"],
        run: &["handler1", "handler2"],
        attached: false,
        set: &[("input_bss1", 1000), ("input_bss2", 2000), ("input_bss_weak", 3000)],
        expect: &[
            ("output_bss1", 6000, 6000),
            ("output_bss2", 6000, 6000),
            ("output_data1", 13, 23),
            ("output_data2", 13, 23),
            ("output_rodata1", 133, 233),
            ("output_rodata2", 133, 233),
        ],
    },
    Group {
        name: "linked_maps",
        objects: &["linked_maps1", "linked_maps2"],
        run: &["handler_enter1", "handler_enter2", "handler_exit1", "handler_exit2"],
        attached: false,
        set: &[],
        expect: &[
            ("output_first1", 2000, 2000),
            ("output_second1", 2, 2),
            ("output_weak1", 2, 2),
            ("output_first2", 1000, 1000),
            ("output_second2", 1, 1),
            ("output_weak2", 1, 1),
        ],
    },
    Group {
        name: "test_static_linked",
        objects: &["test_static_linked1", "test_static_linked2"],
        run: &["handler1", "handler2"],
        attached: false,
        set: &[("rovar1", 1), ("rovar2", 4)],
        expect: &[("var1", 7, 7), ("var2", 23, 23)],
    },
    Group {
        name: "test_subskeleton",
        objects: &["test_subskeleton", "test_subskeleton_lib", "test_subskeleton_lib2"],
        run: &["handler1"],
        attached: false,
        // The first member of `var3` is what 3 goes into.
        set: &[("rovar1", 10), ("var1", 1), ("var2", 2), ("var3", 3)],
        expect: &[("libout1", 17, 17), ("out1", 170, 170), ("var5", 5, 5), ("var6", 6, 6)],
    },
    Group {
        name: "test_usdt",
        objects: &["test_usdt", "test_usdt_multispec"],
        run: &["usdt0", "usdt3", "usdt_100"],
        // Arguments are not looked at: libbpf 1.7 describes each in 24 bytes, `usdt.bpf.h` of before in 16.
        attached: true,
        set: &[("my_pid", PROCESS)],
        expect: &[
            ("usdt0_called", 1, 1),
            ("usdt3_called", 1, 1),
            ("usdt12_called", 0, 0),
            ("usdt_100_called", 1, 1),
        ],
    },
];

/// Contents of data sections, by section.
type Data = BTreeMap<String, Vec<u8>>;

/// The task. Is all as it is to be?
pub fn run(options: &Options) -> Result<bool> {
    let mut report = Report::new(&options.allowed, 6, false)?;
    let scratch = std::env::temp_dir().join(format!("bpfweld-groups-{}", std::process::id()));
    let (mut good, mut bad) = (0, 0);
    for set in &options.sets {
        for group in &GROUPS {
            if options.filter.as_ref().is_some_and(|f| !group.name.contains(f.as_str())) {
                continue;
            }
            for order in orders(group.objects.len()) {
                let objects: Vec<PathBuf> =
                    order.iter().map(|&at| set.join(format!("{}.o", group.objects[at]))).collect();
                let names: Vec<&str> = order.iter().map(|&at| group.objects[at]).collect();
                let what = format!("{}: {}", set.display(), names.join(" "));
                let turned =
                    order.iter().position(|&at| at == 0) > order.iter().position(|&at| at == 1);
                match one(options, group, &objects, turned, &scratch, &what, &mut report) {
                    Ok(()) => good += 1,
                    Err(e) => {
                        println!("{what}: {e:#}");
                        bad += 1;
                    }
                }
            }
        }
    }
    let _ = fs::remove_dir_all(&scratch);
    report.print(false);
    println!("groups in their orders: {good} as expected, {bad} not");
    Ok(bad == 0 && good > 0 && report.all_explained())
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in orders(last) {
        for at in (0..=shorter.len()).rev() {
            let mut order = shorter.clone();
            order.insert(at, last);
            all.push(order);
        }
    }
    all
}

fn one(
    options: &Options,
    group: &Group,
    objects: &[PathBuf],
    turned: bool,
    scratch: &Path,
    what: &str,
    report: &mut Report,
) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let path = scratch.join(format!("{}.o", group.name));
    let mut linker = Linker::new();
    for object in objects {
        linker.add(&object.to_string_lossy(), &fs::read(object).context("no object")?)?;
    }
    let bytes = linker.link(&static_link::Options::default())?.bytes;
    fs::write(&path, &bytes)?;

    // Every program, loaded alone: both loaders, and libbpf on what its own linker makes.
    let child = |side: &str, path: &Path| child_with(options.timeout, side, path);
    let (ours, mut theirs) = (child("ours", &path), child("theirs", &path));
    if let Some(why) = theirs.crash.as_ref().or(theirs.open_error.as_ref()) {
        bail!("libbpf cannot open it: {why}");
    }
    let missing = theirs.programs.iter().find(|p| p.load.is_none());
    if let Some(missing) = missing {
        bail!("libbpf did not load {}: {:?}", missing.name, missing.error);
    }
    let differences = compare::compare(&ours, &theirs);
    report.add(Path::new(&format!("{what} (bpfweld)")), &ours, &theirs, differences);
    // The same objects through libbpf's linker, in one step, or with bpfweld doing the first or the second one.
    for (each, all) in [(None, "libbpf"), (Some("bpfweld"), "libbpf"), (Some("libbpf"), "bpfweld")]
    {
        let linkers = each.map_or(String::new(), |each| format!("{each}, then ")) + all;
        let dir = scratch.join(&linkers);
        fs::create_dir_all(&dir)?;
        let peer = dir.join(format!("{}.o", group.name));
        let steps = match each {
            None => link_bench::once(all, &peer, objects),
            Some(each) => two_steps(each, all, &peer, objects),
        };
        match steps.map(|()| child("theirs", &peer)) {
            Err(e) if all == "libbpf" => println!("{what}: {linkers}: refused: {e:#}"),
            Err(e) => bail!("{linkers}: {e:#}"),
            // An extern map that comes before its definition, among others.
            Ok(Side { open_error: Some(e), .. }) if all == "libbpf" => {
                println!("{what}: {linkers}: libbpf cannot open what its own linker makes: {e}");
            }
            Ok(mut other) => {
                // Variables have other places.
                relink::without_neighbours(&mut theirs);
                relink::without_neighbours(&mut other);
                let differences = compare::compare(&theirs, &other);
                report.add(Path::new(&format!("{what} ({linkers})")), &theirs, &other, differences);
            }
        }
    }
    let mut object = Object::parse("output", &bytes)?;
    let theirs = with_libbpf(group, &object, &path)?;
    let places = object.clone();
    // bpfweld attaches nothing to user space.
    let ours = match group.attached {
        true => None,
        false => Some(with_bpfweld(group, &mut object)?),
    };
    for (name, first, second) in group.expect {
        let wanted = if turned { second } else { first };
        for (loader, data) in [("libbpf", Some(&theirs)), ("bpfweld", ours.as_ref())] {
            let Some(data) = data else { continue };
            let there = read(&places, data, name)?;
            ensure!(there == *wanted, "{name} is {there} behind {loader} instead of {wanted}");
        }
    }
    // bpfweld makes maps of the sections that programs use, libbpf of all.
    for (section, bytes) in ours.iter().flatten() {
        // Behind the last variable are pages.
        let size = places.data.iter().find(|d| d.name == *section).map_or(0, |d| d.size as usize);
        let (a, b) = (theirs.get(section).and_then(|d| d.get(..size)), bytes.get(..size));
        ensure!(b.is_some() && a == b, "section {section} differs: {a:02x?} and {b:02x?}");
    }
    Ok(())
}

/// Links each object alone with one linker, and the outputs with another.
fn two_steps(each: &str, all: &str, out: &Path, objects: &[PathBuf]) -> Result<()> {
    let dir = out.with_extension("parts");
    fs::create_dir_all(&dir)?;
    let mut parts = Vec::new();
    for object in objects {
        let part = dir.join(object.file_name().context("no object")?);
        link_bench::once(each, &part, std::slice::from_ref(object))?;
        parts.push(part);
    }
    link_bench::once(all, out, &parts)
}

/// Section, offset and size of a variable.
fn place<'o>(object: &'o Object, name: &str) -> Result<(&'o str, usize, usize)> {
    let btf = object.btf.as_ref().context("no types")?;
    let places = object.data.iter().flat_map(|d| d.vars.iter().map(move |v| (d, v)));
    let mut found = places.filter(|(_, v)| btf.ty(v.type_id).name() == name);
    let (data, var) = found.next().with_context(|| format!("no variable {name}"))?;
    Ok((&data.name, var.offset as usize, var.size as usize))
}

/// What is to stand where, by section.
fn inputs(group: &Group, object: &Object) -> Result<Vec<(String, usize, Vec<u8>)>> {
    let thread = i64::from(unsafe { libc::gettid() });
    let process = i64::from(std::process::id());
    group
        .set
        .iter()
        .map(|&(name, value)| {
            let (section, offset, size) = place(object, name)?;
            let value = match value {
                THREAD => thread,
                PROCESS => process,
                value => value,
            };
            let bytes = value.to_le_bytes();
            Ok((section.to_owned(), offset, bytes[..size.min(4)].to_vec()))
        })
        .collect()
}

fn read(object: &Object, data: &Data, name: &str) -> Result<i64> {
    let (section, offset, _) = place(object, name)?;
    let bytes = data.get(section).and_then(|d| d.get(offset..)).and_then(|d| d.first_chunk());
    Ok(i32::from_le_bytes(*bytes.context("no such data")?).into())
}

/// One run of a raw tracepoint program: it is told of a system call.
fn run_program(fd: i32, name: &str) -> Result<()> {
    let context = [0u64, CALL as u64];
    let mut run: sys::bpf_test_run_opts = unsafe { std::mem::zeroed() };
    run.sz = size_of::<sys::bpf_test_run_opts>() as _;
    run.ctx_in = context.as_ptr().cast();
    run.ctx_size_in = size_of_val(&context) as u32;
    match unsafe { sys::bpf_prog_test_run_opts(fd, &mut run) } {
        0 => Ok(()),
        e => bail!("{name} does not run: {}", std::io::Error::from_raw_os_error(-e)),
    }
}

fn with_libbpf(group: &Group, object: &Object, path: &Path) -> Result<Data> {
    let mut open = ObjectBuilder::default().open_file(path)?;
    for mut program in open.progs_mut() {
        program.set_autoload(true);
    }
    let inputs = inputs(group, object)?;
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let Some(at) = name.find('.') else { continue };
        let Some(value) = map.initial_value_mut() else { continue };
        for (_, offset, bytes) in inputs.iter().filter(|(s, ..)| *s == name[at..]) {
            value[*offset..*offset + bytes.len()].copy_from_slice(bytes);
        }
    }
    let loaded = open.load().context("libbpf does not load it")?;
    for name in group.run {
        let program = loaded.progs_mut().find(|p| p.name() == *name);
        let program = program.with_context(|| format!("libbpf has no program {name}"))?;
        match group.attached {
            true => {
                let pid = i32::try_from(std::process::id())?;
                let link = program.attach_usdt(pid, "/proc/self/exe", usdt::PROVIDER, name);
                let _link = link.with_context(|| format!("{name} is not attached"))?;
                usdt::fire(name);
            }
            false => run_program(program.as_fd().as_raw_fd(), name)?,
        }
    }
    let mut data = Data::new();
    for map in loaded.maps() {
        let name = map.name().to_string_lossy().into_owned();
        if let Some(at) = name.find('.').filter(|&at| is_data(object, &name[at..])) {
            let value = map.lookup(&0u32.to_le_bytes(), MapFlags::ANY)?.context("no value")?;
            data.insert(name[at..].to_owned(), value);
        }
    }
    Ok(data)
}

fn is_data(object: &Object, section: &str) -> bool {
    object.data.iter().any(|d| d.name == section && !d.vars.is_empty())
}

fn with_bpfweld(group: &Group, object: &mut Object) -> Result<Data> {
    let inputs = inputs(group, object)?;
    let mut later = Vec::new();
    for (section, offset, bytes) in inputs {
        let data = object.data.iter_mut().find(|d| d.name == section).context("no section")?;
        match data.kind {
            DataKind::Bss => later.push((section, offset, bytes)),
            _ => {
                let mut filled = data.bytes.to_vec();
                filled[offset..offset + bytes.len()].copy_from_slice(&bytes);
                data.bytes = filled.into();
            }
        }
    }
    let kernel = Kernel::new();
    let mut link = Link::new();
    link.add("output", Arc::new(object.clone()))?;
    let core_targets = Some(kernel.core_targets()?);
    let linked = link.link(&LinkOptions { core_targets, ..LinkOptions::default() })?;
    let entries = group.run.iter().map(|name| linked.entry(InstanceId(0), Some(name)));
    let images = linked.images(&entries.collect::<Result<Vec<_>, _>>()?)?;
    let loaded =
        kernel.load(&images, &LoadOptions::default()).context("bpfweld does not load it")?;
    for (section, offset, bytes) in later {
        let map = loaded.map(InstanceId(0), &section).context("no map")?;
        map.write_data(offset, &bytes)?;
    }
    for name in group.run {
        let program = loaded.entries().iter().find(|p| p.name() == *name);
        let program = program.with_context(|| format!("bpfweld has no program {name}"))?;
        run_program(program.fd().as_raw_fd(), name)?;
    }
    let mut data = Data::new();
    for map in loaded.maps().iter().filter(|m| is_data(object, m.name())) {
        data.insert(map.name().to_owned(), map.data()?);
    }
    Ok(data)
}
