//! Programs: the image patched on a copy, loaded, its log fetched when the verifier refuses it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bpfweld_btf::{Btf, Kind};
use bpfweld_insn::{CALL, Insn, LD_IMM64, pseudo};
use bpfweld_link::{Image, ImageReloc, ImageTarget, KernelRef, Origin, Site, core_reloc};
use bpfweld_object::ProgramType;

use crate::attach;
use crate::error::{LoadError, MapProblem, Rejected, SymbolProblem};
use crate::facts::{prog_flag, prog_type};
use crate::features::{Feature, Features};
use crate::jump_table;
use crate::loader::Device;
use crate::log::VerifierLog;
use crate::maps::{Map, kernel_name};
use crate::poison;
use crate::privilege::{self, Privilege};
use crate::probes::words;
use crate::running::{self, KernelType, Running, without_flavour};
use crate::sys::{Log, ProgInfo, ProgLoad, Sys, line_records};
use crate::target::{self, AttachOption};
use crate::upload::Upload;

/// Most instructions of a program whose process lacks CAP_BPF, and before Linux 5.2 of any
/// (`BPF_MAXINSNS`, linux/bpf_common.h).
const MAX_INSNS: usize = 4096;
/// How often a load is tried again that the kernel broke off (a signal was pending).
const EAGAIN_TRIES: usize = 5;
/// Bytes of the first log buffer: the most that kernels before 5.2 take. Memory that is not written to
/// costs nothing, and another try costs all of the verifier's work once more.
const FIRST_LOG: usize = (16 << 20) - 1;
/// Log level that asks for statistics only (`BPF_LOG_STATS`, Linux 5.2), and how many bytes they need
/// at most, with the reason.
const LOG_STATS: u32 = 4;
const LAST_LOG: usize = 16 << 10;
/// Source lines that a refusal keeps of the way to it: the verifier walks a million instructions.
const LONGEST_WAY: usize = 200;
/// Helper number of `bpf_tail_call` (linux/bpf.h).
const TAIL_CALL: u32 = 12;

/// A loaded program.
#[derive(Clone)]
pub struct Program {
    pub(crate) sys: Arc<dyn Sys>,
    pub(crate) name: String,
    pub(crate) instance: String,
    pub(crate) section: String,
    pub(crate) prog_type: ProgramType,
    pub(crate) fd: Arc<OwnedFd>,
    pub(crate) log: Option<VerifierLog>,
    /// Names of its functions, and their types in the BTF that the kernel has of it.
    pub(crate) functions: Vec<(String, u32)>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("instance", &self.instance)
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}

impl Program {
    /// Name of its entry function.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Label of the instance that its entry function is from.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Name of the ELF section of its entry function.
    pub fn section(&self) -> &str {
        &self.section
    }

    /// Its type.
    pub fn prog_type(&self) -> ProgramType {
        self.prog_type
    }

    /// Its file descriptor.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// The verifier's log, where one was asked for.
    pub fn log(&self) -> Option<&VerifierLog> {
        self.log.as_ref()
    }

    /// The type of a function of it in the BTF that the kernel has of it: what programs that replace
    /// functions attach to. `None` without such a function, or when it was loaded without types.
    pub fn function_type(&self, name: &str) -> Option<u32> {
        self.functions.iter().find(|f| f.0 == name).map(|f| f.1)
    }

    /// What the kernel says of it.
    pub fn info(&self) -> io::Result<ProgInfo> {
        self.sys.prog_info(self.fd.as_fd())
    }
}

/// What loading one image draws on.
pub(crate) struct ProgramLoader<'a> {
    pub(crate) features: &'a Features,
    pub(crate) running: &'a Running,
    pub(crate) kernel_btf: Option<&'a Btf>,
    pub(crate) targets: &'a [AttachOption],
    pub(crate) maps: &'a [Map],
    pub(crate) btf: Option<BorrowedFd<'a>>,
    /// The images' BTF.
    pub(crate) types: &'a Btf,
    /// The images' instances.
    pub(crate) origin: &'a Origin,
    /// What the kernel has of it.
    pub(crate) upload: &'a Upload,
    pub(crate) device: Option<Device>,
    pub(crate) log_level: u32,
    pub(crate) log_limit: usize,
}

/// The modules whose functions a program calls: `fd_array`, which calls name them by their place in.
/// The first place is the kernel's own.
#[derive(Default)]
struct ModuleFds(Vec<i32>);

impl ModuleFds {
    fn index(&mut self, found: &KernelType<'_>) -> Result<i16, SymbolProblem> {
        if found.module.is_none() {
            return Ok(0);
        }
        if self.0.is_empty() {
            self.0.push(0);
        }
        let fd = found.btf_fd();
        let at = self.0.iter().skip(1).position(|&f| f == fd).map(|at| at + 1);
        let at = at.unwrap_or_else(|| {
            self.0.push(fd);
            self.0.len() - 1
        });
        i16::try_from(at).map_err(|_| SymbolProblem::TooManyModules)
    }
}

/// What [`ProgramLoader::load`] gives beside the program.
type Loaded = (OwnedFd, Option<VerifierLog>, Vec<String>);

impl ProgramLoader<'_> {
    pub(crate) fn load(&self, image: &Image) -> Result<Loaded, LoadError> {
        let mut warnings = Vec::new();
        self.check_features(image)?;
        let wanted = target::of(self.targets, image);
        let attach = attach::find(self.features, self.running, self.kernel_btf, image, wanted)?;
        let mut modules = ModuleFds::default();
        // The program that is loaded holds its tables.
        let tables = self.jump_tables(image)?;
        let insns = self.patched(image, &tables, &mut modules)?;
        let (func_info, line_info) = self.debug_info(image);
        let kind = image.program.prog_type.0;
        let name = match self.features.get(Feature::Names) {
            true => kernel_name(&image.name, false),
            false => String::new(),
        };
        let expected = attach.attach_type.or(image.program.attach_type.map(|a| a.0)).unwrap_or(0);
        let (ifindex, bound) = match self.device_of(image) {
            Some(Device::Bound(index)) => (index, prog_flag::XDP_DEV_BOUND_ONLY),
            Some(Device::Offload(index)) => (index, 0),
            None => (0, 0),
        };
        let program = ProgLoad {
            prog_type: kind,
            ifindex,
            insns: &insns,
            license: &image.license,
            kern_version: self.kern_version(image),
            prog_flags: self.flags(image, &mut warnings) | bound,
            name: &name,
            expected_attach_type: match expected {
                0 => 0,
                _ if !self.features.get(Feature::ExpectedAttachType) => 0,
                stated => stated,
            },
            btf: self.btf.filter(|_| !func_info.is_empty()),
            func_info: &func_info,
            line_info,
            attach_btf_id: attach.btf_id,
            attach_prog: attach.program.or(attach.module.map(|module| module.fd.as_fd())),
            fd_array: &modules.0,
            ..Default::default()
        };
        let (fd, log) = self.load_with_log(image, &program)?;
        Ok((fd, log, warnings))
    }

    /// The device that it is for.
    fn device_of(&self, image: &Image) -> Option<Device> {
        self.device.filter(|_| image.program.prog_type == ProgramType::XDP)
    }

    /// What the verifier of a kernel without it would refuse in words that do not say so.
    fn check_features(&self, image: &Image) -> Result<(), LoadError> {
        let has = |wanted: fn(&Insn) -> bool| image.insns.iter().any(wanted);
        let calls = has(|i| i.is_bpf_call());
        let tail_calls = has(|i| i.helper() == Some(TAIL_CALL));
        let callbacks = has(|i| i.is_ld_imm64() && i.src() == pseudo::FUNC);
        let bound = matches!(self.device_of(image), Some(Device::Bound(_)));
        let needs = [
            (bound, Feature::XdpDevBound),
            (calls, Feature::BpfCalls),
            (calls && tail_calls, Feature::MixedTailCalls),
            (callbacks, Feature::FuncPointers),
            (!image.jump_tables.is_empty(), Feature::JumpTables),
        ];
        for (needed, feature) in needs {
            if needed && !self.features.get(feature) {
                let what = format!("program `{}` of `{}`", image.name, image.instance);
                return Err(LoadError::Unsupported { what, feature });
            }
        }
        Ok(())
    }

    /// The instructions for the kernel, with every reference filled in.
    fn patched(
        &self,
        image: &Image,
        tables: &BTreeMap<u32, OwnedFd>,
        modules: &mut ModuleFds,
    ) -> Result<Vec<Insn>, LoadError> {
        let mut insns = image.insns.clone();
        for reloc in &image.relocs {
            let at = reloc.insn as usize;
            // A load takes two slots, a call one.
            let is_load = insns.get(at).is_some_and(|insn| insn.is_ld_imm64());
            let place = insns.get_mut(at..=at + usize::from(is_load)).unwrap_or_default();
            self.patch(image, reloc, place, tables, modules)?;
        }
        Ok(insns)
    }

    /// Fills in one reference, at the start of `place`.
    fn patch(
        &self,
        image: &Image,
        reloc: &ImageReloc,
        place: &mut [Insn],
        tables: &BTreeMap<u32, OwnedFd>,
        modules: &mut ModuleFds,
    ) -> Result<(), LoadError> {
        let at = reloc.insn as usize;
        match &reloc.target {
            ImageTarget::Map(map) => {
                let fd = self.map_fd(image, map.index())?;
                set_imm64(image, at, place, pseudo::MAP_FD, fd, 0)?;
            }
            ImageTarget::MapValue { map, offset } => {
                if !self.features.get(Feature::GlobalData) {
                    return Err(LoadError::Unsupported {
                        what: format!("program `{}` of `{}`", image.name, image.instance),
                        feature: Feature::GlobalData,
                    });
                }
                let fd = self.map_fd(image, map.index())?;
                let start = self.maps.get(map.index()).map_or(0, Map::variables_at);
                let offset = start.wrapping_add(*offset).cast_signed();
                set_imm64(image, at, place, pseudo::MAP_VALUE, fd, offset)?;
            }
            ImageTarget::JumpTable(table) => {
                let table = tables.get(table);
                let fd = table.ok_or_else(|| broken(image, at, "has no jump table"))?;
                set_imm64(image, at, place, pseudo::MAP_VALUE, fd.as_raw_fd(), 0)?;
            }
            ImageTarget::KernelFunction(wanted) => {
                let call = match place {
                    [call, ..] if call.code == CALL => call,
                    _ => return Err(broken(image, at, "is no call")),
                };
                *call = match self.kernel_type(image, wanted, Kind::Func)? {
                    Some(found) => Insn {
                        off: modules.index(&found).map_err(|p| symbol_error(image, wanted, p))?,
                        imm: found.id.0.cast_signed(),
                        ..call.with_src(pseudo::KFUNC_CALL)
                    },
                    // A helper that no kernel has: fine where it cannot be reached, and else
                    // explained, see `missing`.
                    None => Insn { off: 0, imm: poison(at), ..call.with_src(0) },
                };
            }
            ImageTarget::KernelFunctionAddr(wanted) => {
                match self.kernel_type(image, wanted, Kind::Func)? {
                    Some(found) => {
                        let (id, fd) = (found.id.0.cast_signed(), found.btf_fd());
                        set_imm64(image, at, place, pseudo::BTF_ID, id, fd)?;
                    }
                    None => set_imm64(image, at, place, 0, 0, 0)?,
                }
            }
            ImageTarget::TypedKsym(wanted) => match self.kernel_type(image, wanted, Kind::Var)? {
                Some(_) if wanted.addend != 0 => {
                    let problem = SymbolProblem::Addend(wanted.addend);
                    return Err(symbol_error(image, wanted, problem));
                }
                Some(found) => {
                    let (id, fd) = (found.id.0.cast_signed(), found.btf_fd());
                    set_imm64(image, at, place, pseudo::BTF_ID, id, fd)?;
                }
                None => set_imm64(image, at, place, 0, 0, 0)?,
            },
            ImageTarget::TypelessKsym(wanted) => {
                let address = self.kernel_address(image, wanted)?;
                let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
                let low = i32::from_le_bytes([a, b, c, d]);
                let high = i32::from_le_bytes([e, f, g, h]);
                set_imm64(image, at, place, 0, low, high)?;
            }
        }
        Ok(())
    }

    /// The tables that a program refers to: it alone can use them.
    fn jump_tables(&self, image: &Image) -> Result<BTreeMap<u32, OwnedFd>, LoadError> {
        let failed = |source| LoadError::Map {
            map: format!("jump table of program {}", image.name),
            label: image.instance.clone(),
            problem: MapProblem::Call { step: "make", source, hint: String::new() },
        };
        let mut made = BTreeMap::new();
        for reloc in &image.relocs {
            if let ImageTarget::JumpTable(table) = reloc.target
                && let Some(slots) = image.jump_tables.get(table as usize)
                && !made.contains_key(&table)
            {
                let fd = jump_table::make(&**self.features.sys(), slots).map_err(failed)?;
                made.insert(table, fd);
            }
        }
        Ok(made)
    }

    fn map_fd(&self, image: &Image, index: usize) -> Result<i32, LoadError> {
        match self.maps.get(index) {
            Some(map) => Ok(map.fd().as_raw_fd()),
            None => Err(LoadError::Image {
                program: image.name.clone(),
                problem: format!("it refers to map {index} of {}", self.maps.len()),
            }),
        }
    }

    /// A function or variable of the kernel or a module; `None` when it is weak and not there.
    fn kernel_type(
        &self,
        image: &Image,
        wanted: &KernelRef,
        kind: Kind,
    ) -> Result<Option<KernelType<'_>>, LoadError> {
        let error = |problem| Err(symbol_error(image, wanted, problem));
        if kind == Kind::Func && !self.features.get(Feature::Kfuncs) {
            return if wanted.weak {
                Ok(None)
            } else {
                error(SymbolProblem::Unsupported(Feature::Kfuncs))
            };
        }
        let name = without_flavour(&wanted.name);
        let sys = &**self.features.sys();
        match self.running.find(sys, self.kernel_btf, kind, name) {
            Ok(Some(found)) => match self.differs(wanted, &found) {
                None => Ok(Some(found)),
                // That is how programs tell by its type which version of a function there is.
                Some(_) if wanted.weak && kind == Kind::Func => Ok(None),
                Some(problem) => error(problem),
            },
            _ if wanted.weak => Ok(None),
            Ok(None) => error(SymbolProblem::NotInBtf {
                what: if kind == Kind::Func { "a function" } else { "a variable" },
                searched: self.running.searched(sys, self.kernel_btf),
            }),
            Err(problem) => error(problem),
        }
    }

    /// Why what the object declares is not what the kernel has.
    fn differs(&self, wanted: &KernelRef, found: &KernelType<'_>) -> Option<SymbolProblem> {
        let declared = wanted.type_id?;
        let there = found.btf.ty(found.id).type_id();
        match core_reloc::alike((self.types, declared), (found.btf, there)) {
            Ok(true) => None,
            _ => Some(SymbolProblem::Incompatible {
                declared: self.types.c_declaration(declared, &wanted.name),
                there: found.btf.c_declaration(found.id, ""),
            }),
        }
    }

    fn kernel_address(&self, image: &Image, wanted: &KernelRef) -> Result<u64, LoadError> {
        let name = without_flavour(&wanted.name);
        match self.running.address(&**self.features.sys(), name) {
            Ok(Some(address)) => Ok(address.wrapping_add_signed(wanted.addend.into())),
            Ok(None) if wanted.weak => Ok(0),
            Ok(None) => Err(symbol_error(image, wanted, SymbolProblem::NotInKallsyms)),
            Err(problem) => Err(symbol_error(image, wanted, problem)),
        }
    }

    /// func_info and line_info records; empty where the kernel or the image has none.
    fn debug_info<'i>(&self, image: &'i Image) -> (Vec<u8>, &'i [u8]) {
        let none = (Vec::new(), &[][..]);
        let usable = |feature| self.features.get(feature);
        if self.btf.is_none() || !usable(Feature::BtfFunc) || !usable(Feature::FuncInfo) {
            return none;
        }
        let mut func_info = Vec::with_capacity(image.functions.len() * 2);
        for function in &image.functions {
            // All functions or none: the kernel wants a record for each.
            match self.upload.function_id(image, function) {
                Some(id) => func_info.extend([function.start, id]),
                None => return none,
            }
        }
        (words(&func_info), line_records(&image.lines))
    }

    fn kern_version(&self, image: &Image) -> u32 {
        match (image.kernel_version, image.program.prog_type.0) {
            // Before 5.0 it must be the running kernel's for kprobes, whatever the object says.
            (_, prog_type::KPROBE) => running::version(&**self.features.sys()),
            (Some(version), _) => version,
            (None, _) => 0,
        }
    }

    fn flags(&self, image: &Image, warnings: &mut Vec<String>) -> u32 {
        let mut flags = 0;
        if image.program.sleepable {
            flags |= prog_flag::SLEEPABLE;
        }
        if image.program.frags {
            if self.features.get(Feature::XdpFrags) {
                flags |= prog_flag::XDP_HAS_FRAGS;
            } else {
                // Such a kernel gives no program a packet in several buffers.
                warnings.push(format!(
                    "program `{}` of `{}` is loaded without `frags`, which the kernel does not \
                     know: interfaces with large frames will not take it",
                    image.name, image.instance
                ));
            }
        }
        flags
    }

    fn load_with_log(
        &self,
        image: &Image,
        program: &ProgLoad<'_>,
    ) -> Result<(OwnedFd, Option<VerifierLog>), LoadError> {
        let errno = match self.log_level {
            // Logging costs the verifier several times its own work.
            0 => match self.load_once(program, None) {
                Ok(fd) => return Ok((fd, None)),
                Err(e) => e,
            },
            level => match self.load_logged(program, level) {
                (Ok(fd), log) => return Ok((fd, Some(log))),
                (Err(e), log) => return Err(self.refused(image, e, log)),
            },
        };
        match self.load_logged(program, 1) {
            // It can: some refusals pass, such as too little memory.
            (Ok(fd), log) => Ok((fd, Some(log))),
            (Err(_), log) => Err(self.refused(image, errno, log)),
        }
    }

    fn load_once(&self, program: &ProgLoad<'_>, mut log: Option<Log<'_>>) -> io::Result<OwnedFd> {
        let sys = &**self.features.sys();
        let mut tries = 0;
        loop {
            tries += 1;
            let log = log.as_mut().map(|log| Log { level: log.level, buf: &mut *log.buf });
            match sys.load_program(program, log) {
                Err(e) if e.raw_os_error() == Some(libc::EAGAIN) && tries < EAGAIN_TRIES => {}
                other => return other,
            }
        }
    }

    /// Loads with a log, in a buffer that grows until the log fits.
    fn load_logged(
        &self,
        program: &ProgLoad<'_>,
        level: u32,
    ) -> (io::Result<OwnedFd>, VerifierLog) {
        let mut size = FIRST_LOG.min(self.log_limit.max(128));
        let mut last: Option<(io::Result<OwnedFd>, VerifierLog)> = None;
        loop {
            let mut buf = vec![0; size];
            let result = self.load_once(program, Some(Log { level, buf: &mut buf }));
            let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
            let too_short = errno == Some(libc::ENOSPC);
            let log = VerifierLog::from_buffer(&buf, too_short);
            // Before 5.2 a buffer has to stay below 16 MiB, which is told by EINVAL and no log.
            if errno == Some(libc::EINVAL)
                && log.is_empty()
                && let Some(last) = last
            {
                return last;
            }
            if too_short && size >= self.log_limit {
                return (result, self.with_end(log, program));
            }
            if !too_short {
                return (result, log);
            }
            last = Some((result, log));
            size = size.saturating_mul(4).min(self.log_limit);
        }
    }

    /// A log that is too long keeps its end only on kernels from 6.4 on. Older ones are asked for it
    /// once more: beside statistics, the verifier then says nothing but why it refuses.
    fn with_end(&self, mut log: VerifierLog, program: &ProgLoad<'_>) -> VerifierLog {
        if !log.has_end() {
            let mut buf = vec![0; LAST_LOG];
            // The result is known.
            let _ = self.load_once(program, Some(Log { level: LOG_STATS, buf: &mut buf }));
            let end = VerifierLog::from_buffer(&buf, false);
            if !end.is_empty() {
                log.put_end(end.text(), self.log_limit);
            }
        }
        log
    }

    fn refused(&self, image: &Image, errno: io::Error, log: VerifierLog) -> LoadError {
        let (program, instance) = (image.name.clone(), image.instance.clone());
        if !log.is_empty() {
            let missing = |at, wanted: &KernelRef| self.missing(image, at, wanted);
            let poison = poison::explain(image, &log, missing);
            let way = self.way(image, &log);
            let rejected = Rejected { program, instance, errno, log, poison, way };
            return LoadError::Rejected(Box::new(rejected));
        }
        if errno.raw_os_error() == Some(libc::EPERM) {
            let what = format!("load program `{program}` of `{instance}`");
            let needed = privilege::for_program(image.program.prog_type.0);
            return LoadError::Privilege(Privilege::find_out(&**self.features.sys(), what, needed));
        }
        let count = image.insns.len();
        if errno.raw_os_error() == Some(libc::E2BIG) && count > MAX_INSNS {
            return LoadError::TooLong { program, instance, count, limit: MAX_INSNS };
        }
        LoadError::Program { program, instance, source: errno }
    }

    /// A call of a weak kernel function that is not there, in words.
    fn missing(&self, image: &Image, at: u32, wanted: &KernelRef) -> String {
        let strong = KernelRef { weak: false, ..wanted.clone() };
        let why = match self.kernel_type(image, &strong, Kind::Func) {
            Err(LoadError::Symbol {
                problem: SymbolProblem::NotInBtf { searched, .. }, ..
            }) => {
                format!("no BTF has one of that name (searched {searched})")
            }
            Err(LoadError::Symbol { problem, .. }) => problem.to_string(),
            _ => "it is not there".into(),
        };
        let caller = match image.site(self.types, self.origin, at) {
            Some(site) => site.to_string(),
            None => format!("program `{}`", image.name),
        };
        format!(
            "{caller} calls the weak kernel function `{}` without asking first whether it is there: {why}",
            wanted.name
        )
    }

    /// The lines on the way to the refusal, the last [`LONGEST_WAY`] of them: instructions made from
    /// one line are one step of it.
    fn way(&self, image: &Image, log: &VerifierLog) -> Vec<Site> {
        let mut way: Vec<Site> = Vec::new();
        for insn in log.way().into_iter().rev() {
            let Some(site) = image.site(self.types, self.origin, insn) else { continue };
            let known = |last: &Site| last.function == site.function && last.same_line(&site);
            if !way.last().is_some_and(known) {
                way.push(site);
            }
            if way.len() == LONGEST_WAY {
                break;
            }
        }
        way.reverse();
        way
    }
}

/// Makes the `ldimm64` at the start of `place` one of kind `src`.
fn set_imm64(
    image: &Image,
    at: usize,
    place: &mut [Insn],
    src: u8,
    low: i32,
    high: i32,
) -> Result<(), LoadError> {
    match place {
        [first, second, ..] if first.code == LD_IMM64 && second.code == 0 => {
            *first = Insn { off: 0, imm: low, ..first.with_src(src) };
            *second = Insn { imm: high, ..Insn::default() };
            Ok(())
        }
        _ => Err(broken(image, at, "is no 64-bit immediate load")),
    }
}

/// A helper number that no kernel has and that leads back to the instruction.
fn poison(at: usize) -> i32 {
    // Programs have at most a million instructions.
    2_000_000_000 + i32::try_from(at).unwrap_or(0).min(100_000_000)
}

fn broken(image: &Image, at: usize, problem: &str) -> LoadError {
    LoadError::Image {
        program: image.name.clone(),
        problem: format!("instruction {at} is to be patched and {problem}"),
    }
}

fn symbol_error(image: &Image, wanted: &KernelRef, problem: SymbolProblem) -> LoadError {
    LoadError::Symbol {
        program: image.name.clone(),
        instance: wanted.instance.clone(),
        symbol: wanted.name.clone(),
        problem,
    }
}
