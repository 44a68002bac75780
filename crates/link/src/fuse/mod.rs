//! Fusing: calls replaced by the code that they call, so that a chain of separately built programs costs
//! what one program costs. [`fuse`] takes a set and gives one that does the same.
//!
//! | module | what lives there |
//! |---|---|
//! | `code` | functions as graphs of blocks, and back |
//! | `frame` | how far down a function uses its stack frame |
//! | `order` | in which order blocks are looked at; live registers |
//! | `inline` | a callee's code at the place of its call |
//! | `values` | which registers hold the same value |
//! | `tidy` | clean-up: known tests, dead code, repeated loads |
//! | `report` | what was fused, and why the rest was not |
//!
//! Works on symbolic images: relocations, source lines and poisoned instructions move with their
//! instructions, CO-RE relocations are applied already. Each function into which something goes is taken
//! apart and written anew; every other stays as it is, bit for bit.

mod code;
mod frame;
mod inline;
mod order;
mod report;
mod tidy;
mod values;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bpfweld_insn::{JA32, pseudo};
use bpfweld_object::ProgramType;

use crate::image::{Image, ImageFunction, ImageLine, ImageReloc, ImageSet, ImageTarget, Poisoned};
use code::{Body, Index, Inst, TAIL_CALL};
use frame::Extent;
pub use report::{FuseReport, FusedCall, ImageReport, KeptCall, Origin, Region, Why};

/// Stack that the kernel gives one call path (`MAX_BPF_STACK`, linux/filter.h).
const MAX_STACK: u32 = 512;
/// What the callers of a function that tail-calls may use (kernel, `check_max_stack_depth`).
const MAX_STACK_ABOVE_TAIL_CALL: u32 = 255;
/// Frames are rounded up to this (32 before Linux 6.8, 16 since).
const GRANULE: u32 = 32;
/// [`Policy::Auto`]: slots of a function that goes inline wherever it is called.
const SMALL: usize = 48;
/// [`Policy::Auto`]: slots that copies of one longer function may take beyond the first.
const MAX_COPIES: usize = 1024;
/// [`Policy::Auto`]: slots of a function with all that goes into it.
const MAX_LENGTH: usize = 24_000;
/// [`Policy::Always`]: the same; jumps reach no farther.
const MAX_REACH: usize = 32_000;
/// [`Policy::Always`], where jumps with 32-bit offsets are known: half of what a program may have (kernel,
/// `BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_LONG_REACH: usize = 500_000;
/// Calls that are left out one after the other when the outcome is too large somewhere.
const MAX_ATTEMPTS: usize = 64;

/// What to fuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// Calls from one object to another, but for long functions that are called from several places.
    #[default]
    Auto,
    /// Every call that can be.
    Always,
    /// None.
    Never,
}

/// How to fuse.
#[derive(Debug, Clone, Default)]
pub struct FuseOptions {
    /// What to fuse.
    pub policy: Policy,
    /// Functions that are to stay calls, whatever the policy.
    pub except: BTreeSet<Origin>,
    /// Does who runs it know jumps with 32-bit offsets (Linux 6.6)? An image that has some says so itself.
    pub long_jumps: bool,
}

/// Fuses every image of a set. Maps, types and warnings stay as they are.
pub fn fuse(set: &ImageSet, options: &FuseOptions) -> (ImageSet, FuseReport) {
    let (images, reports) = set.images.iter().map(|image| fuse_image(image, options)).unzip();
    let fused = ImageSet {
        images,
        maps: set.maps.clone(),
        btf: set.btf.clone(),
        entries: set.entries,
        warnings: set.warnings.clone(),
        origin: set.origin.clone(),
    };
    debug_assert_eq!(crate::read_back::check(&fused), Ok(()));
    (fused, FuseReport { images: reports })
}

/// Fuses one image. Where nothing can be fused, it comes back as it is.
pub fn fuse_image(image: &Image, options: &FuseOptions) -> (Image, ImageReport) {
    let unchanged = || {
        let regions = (0u32..).zip(&image.functions);
        let report = ImageReport {
            regions: regions
                .map(|(function, f)| Region { start: f.start, len: f.len, function })
                .collect(),
            insns_before: image.insns.len(),
            insns_after: image.insns.len(),
            ..ImageReport::default()
        };
        (image.clone(), report)
    };
    if options.policy == Policy::Never || image.functions.len() < 2 {
        return unchanged();
    }
    let Some(mut program) = Program::read(image) else { return unchanged() };
    program.long_jumps |= options.long_jumps;
    let program = program;
    let mut left_out: BTreeMap<u32, Why> = BTreeMap::new();
    for _ in 0..MAX_ATTEMPTS {
        let mut attempt = Attempt::new(&program, options, &left_out);
        match attempt.run() {
            Ok(()) => {
                let (new, mut report) = attempt.image();
                report.insns_before = image.insns.len();
                report.insns_after = new.insns.len();
                return match report.fused.is_empty() {
                    true => {
                        let (image, before) = unchanged();
                        (image, ImageReport { kept: report.kept, ..before })
                    }
                    false => (new, report),
                };
            }
            Err((function, why)) => {
                left_out.insert(function, why);
            }
        }
    }
    unchanged()
}

/// An image taken apart.
struct Program<'i> {
    image: &'i Image,
    /// The functions; without blocks where there is a reason.
    bodies: Vec<Rc<Body>>,
    /// Why a function has to stay as it is.
    whole: Vec<Option<Why>>,
    /// What they use of their frames; nothing where there are no blocks.
    extents: Vec<Extent>,
    /// What each calls.
    callees: Vec<Vec<u32>>,
    /// Callees before callers.
    order: Vec<u32>,
    /// How many calls of each function there are.
    calls: Vec<usize>,
    /// Which may be called again before they return.
    recursive: Vec<bool>,
    /// Whose address is taken.
    callbacks: Vec<bool>,
    /// Which may tail-call, themselves or through what they call.
    tail_calls: Vec<bool>,
    /// Does the image have jumps with 32-bit offsets? Then the kernel that it is for knows them.
    long_jumps: bool,
}

impl<'i> Program<'i> {
    /// `None` for an image that refers to what is not there: no linker makes such.
    fn read(image: &'i Image) -> Option<Self> {
        let count = image.functions.len();
        let listings: Option<Vec<_>> = (0..count).map(|f| code::listing(image, f)).collect();
        let listings = listings?;
        let mut callees = vec![Vec::new(); count];
        let mut calls = vec![0; count];
        let mut callbacks = vec![false; count];
        let mut tail_calls = vec![false; count];
        let mut long_jumps = false;
        let mut ways = code::Ways::default();
        let (mut bodies, mut whole) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (f, listing) in listings.into_iter().enumerate() {
            let mut tables = false;
            for inst in &listing {
                match (inst.bpf_call(), inst.callee) {
                    (Some(to), _) => {
                        callees[f].push(to);
                        calls[to as usize] += 1;
                    }
                    (None, Some(to)) => callbacks[to.get()] = true,
                    (None, None) => {}
                }
                match inst.reloc.and_then(|at| image.relocs.get(at.get())) {
                    Some(reloc) => tables |= matches!(reloc.target, ImageTarget::JumpTable(_)),
                    None => tail_calls[f] |= inst.insn.helper() == Some(TAIL_CALL),
                }
                long_jumps |= inst.insn.code == JA32;
            }
            let blocks = if tables { Err(Why::Control) } else { code::blocks(&listing, &mut ways) };
            whole.push(blocks.as_ref().err().copied());
            bodies.push(Rc::new(Body::new(listing, blocks.unwrap_or_default())));
        }
        let (order, recursive) = callees_first(&callees);
        // Twice, because those that call each other come in no order.
        for &f in order.iter().chain(&order) {
            let f = f as usize;
            tail_calls[f] |= callees[f].iter().any(|&to| tail_calls[to as usize]);
        }
        let extent = |body: &Rc<Body>| match body.blocks.is_empty() {
            true => Extent::default(),
            false => frame::extent(body, &|_, _| true),
        };
        Some(Self {
            image,
            extents: bodies.iter().map(extent).collect(),
            bodies,
            whole,
            callees,
            order,
            calls,
            recursive,
            callbacks,
            tail_calls,
            long_jumps,
        })
    }

    fn origin(&self, f: u32) -> Origin {
        self.image.functions[f as usize].origin
    }
}

/// The functions, callees before callers, and which of them are in a circle of calls: these in any order.
fn callees_first(callees: &[Vec<u32>]) -> (Vec<u32>, Vec<bool>) {
    let mut order = Vec::with_capacity(callees.len());
    // 0: not seen, 1: on the path, 2: done.
    let mut state = vec![0u8; callees.len()];
    let mut circles = false;
    for root in 0..callees.len() {
        if state[root] != 0 {
            continue;
        }
        state[root] = 1;
        let mut path = vec![(root, 0)];
        while let Some((at, next)) = path.last_mut() {
            match callees[*at].get(*next).map(|&to| to as usize) {
                Some(to) => {
                    *next += 1;
                    match state[to] {
                        0 => {
                            state[to] = 1;
                            path.push((to, 0));
                        }
                        1 => circles = true,
                        _ => {}
                    }
                }
                None => {
                    state[*at] = 2;
                    order.push(*at as u32);
                    path.pop();
                }
            }
        }
    }
    let reaches_itself = |f: usize| {
        let mut seen = vec![false; callees.len()];
        let mut work = callees[f].clone();
        while let Some(at) = work.pop() {
            if !std::mem::replace(&mut seen[at as usize], true) {
                work.extend(&callees[at as usize]);
            }
        }
        seen[f]
    };
    let recursive = (0..callees.len()).map(|f| circles && reaches_itself(f)).collect();
    (order, recursive)
}

/// Fusing with some functions left out.
struct Attempt<'p, 'i> {
    program: &'p Program<'i>,
    options: &'p FuseOptions,
    left_out: &'p BTreeMap<u32, Why>,
    /// The bodies as far as they are fused.
    bodies: Vec<Rc<Body>>,
    /// Instructions of functions into which something went.
    written: Vec<Option<Vec<Inst>>>,
    /// Their slots ([`Body::size`]).
    sizes: Vec<usize>,
    /// Stack of each function by now, in bytes.
    frames: Vec<u32>,
    fused: Vec<FusedCall>,
    kept: Vec<KeptCall>,
}

impl<'p, 'i> Attempt<'p, 'i> {
    fn new(
        program: &'p Program<'i>,
        options: &'p FuseOptions,
        left_out: &'p BTreeMap<u32, Why>,
    ) -> Self {
        Self {
            program,
            options,
            left_out,
            bodies: program.bodies.clone(),
            sizes: program.bodies.iter().map(|body| body.size()).collect(),
            written: vec![None; program.bodies.len()],
            frames: program.extents.iter().map(Extent::bytes).collect(),
            fused: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// The error is a function that is to be left out of another attempt.
    fn run(&mut self) -> Result<(), (u32, Why)> {
        for &f in &self.program.order {
            self.function(f)?;
        }
        self.check_stack()
    }

    /// Fuses what one function calls.
    fn function(&mut self, f: u32) -> Result<(), (u32, Why)> {
        let at = f as usize;
        let body = self.bodies[at].clone();
        if let Some(why) = self.program.whole[at] {
            body.listing().iter().for_each(|inst| self.keep(inst, why));
            return Ok(());
        }
        if self.program.callees[at].is_empty() {
            return Ok(());
        }
        let mut calls: Vec<Inst> = Vec::with_capacity(self.program.callees[at].len());
        body.for_each(|inst| calls.extend(inst.bpf_call().map(|_| *inst)));
        let own = self.program.extents[at];
        // Of each function that is called: does it go inline?
        let mut wanted: Vec<Option<bool>> = vec![None; self.bodies.len()];
        let mut length = self.sizes[at];
        for inst in &calls {
            let Some(to) = inst.bpf_call() else { continue };
            let why = match (self.may(inst, to), own.loose) {
                (Err(why), _) => Some(why),
                (Ok(()), true) => Some(Why::CallersFrame),
                (Ok(()), false) => {
                    let size = self.sizes[to as usize];
                    let limit = match self.options.policy {
                        Policy::Always if self.program.long_jumps => MAX_LONG_REACH,
                        Policy::Always => MAX_REACH,
                        _ => MAX_LENGTH,
                    };
                    // One call of a function more or less makes no difference: all or none.
                    if length + size > limit {
                        return Err((to, Why::Length));
                    }
                    length += size;
                    None
                }
            };
            if let Some(why) = why {
                self.keep(inst, why);
            }
            let wanted = &mut wanted[to as usize];
            *wanted = Some(why.is_none() && *wanted != Some(false));
        }
        let callee_of = |inst: &Inst| {
            let to = inst.bpf_call()? as usize;
            (wanted[to] == Some(true)).then(|| &*self.bodies[to])
        };
        let gone: Vec<Inst> = calls.iter().filter(|i| callee_of(i).is_some()).copied().collect();
        let Some(largest) = gone
            .iter()
            .filter_map(Inst::bpf_call)
            .max_by_key(|&to| (self.frames[to as usize], self.sizes[to as usize]))
        else {
            return Ok(());
        };
        let (mut body, saved) = inline::inline(&body, own.bytes(), callee_of);
        // The caller's addresses, followed into what went inline and checked against what stays a call.
        let trusted = |to: u32, args: u16| self.keeps_above(to, args, 0);
        let now = frame::extent(&body, &trusted);
        if now.loose || now.bytes() > own.bytes() {
            return Err((largest, Why::CallersFrame));
        }
        let below = gone.iter().filter_map(Inst::bpf_call).map(|to| self.frames[to as usize]).max();
        let frame = own.bytes() + saved + below.unwrap_or(0);
        if frame > MAX_STACK {
            return Err((largest, Why::Stack));
        }
        tidy::tidy(&mut body, if f == 0 { self.bounds() } else { &[] });
        let written = code::flatten(&body, self.program.long_jumps);
        self.written[at] = Some(written.map_err(|why| (largest, why))?);
        self.sizes[at] = body.size();
        self.bodies[at] = Rc::new(body);
        self.frames[at] = frame;
        for inst in &gone {
            if let Some(to) = inst.bpf_call() {
                let name = self.program.image.functions[to as usize].name.clone();
                let (caller, callee) = (self.program.origin(inst.func), self.program.origin(to));
                self.fused.push(FusedCall { caller, callee, name });
            }
        }
        Ok(())
    }

    /// Is a function to go inline where this instruction calls it?
    fn may(&self, inst: &Inst, to: u32) -> Result<(), Why> {
        let at = to as usize;
        let program = self.program;
        let origin = program.origin(to);
        if let Some(&why) = self.left_out.get(&to) {
            return Err(why);
        }
        if self.options.except.contains(&origin) {
            return Err(Why::Excluded);
        }
        if program.recursive[at] {
            return Err(Why::Recursion);
        }
        if program.callbacks[at] {
            return Err(Why::Callback);
        }
        if let Some(why) = program.whole[at] {
            return Err(why);
        }
        inline::check(&self.bodies[at])?;
        if self.options.policy == Policy::Auto {
            if program.origin(inst.func).0 == origin.0 {
                return Err(Why::SameObject);
            }
            let copies = program.calls[at].saturating_sub(1);
            if self.sizes[at] > SMALL && self.sizes[at] * copies > MAX_COPIES {
                return Err(Why::Size);
            }
        }
        Ok(())
    }

    /// Does a function that stays a call keep to what lies above the addresses it is given?
    fn keeps_above(&self, to: u32, args: u16, depth: usize) -> bool {
        // No path has more than eight functions.
        let body = &self.bodies[to as usize];
        if depth == 8 || body.blocks.is_empty() {
            return false;
        }
        frame::upward(body, args, &|to, args| self.keeps_above(to, args, depth + 1))
    }

    fn keep(&mut self, inst: &Inst, why: Why) {
        let Some(to) = inst.bpf_call() else { return };
        let name = self.program.image.functions[to as usize].name.clone();
        let (caller, callee) = (self.program.origin(inst.func), self.program.origin(to));
        let kept = KeptCall { caller, callee, name, why };
        if !self.kept.contains(&kept) {
            self.kept.push(kept);
        }
    }

    /// The packet's bounds in the context that the entry function gets.
    fn bounds(&self) -> values::Bounds {
        match self.program.image.program.prog_type {
            // struct xdp_md: data, data_end, data_meta
            ProgramType::XDP => &[0, 4, 8],
            // struct __sk_buff: data, data_end, data_meta
            ProgramType::SCHED_CLS | ProgramType::SCHED_ACT => &[76, 80, 140],
            _ => &[],
        }
    }

    /// The stack of all call paths, where it did fit before.
    fn check_stack(&self) -> Result<(), (u32, Why)> {
        let program = self.program;
        let frames: Vec<u32> = program.extents.iter().map(Extent::bytes).collect();
        let before = Depths::new(program, &frames, |f| Cow::Borrowed(&program.callees[f]));
        let now = Depths::new(program, &self.frames, |f| match &self.written[f] {
            Some(code) => code.iter().filter_map(Inst::bpf_call).collect(),
            None => Cow::Borrowed(&program.callees[f]),
        });
        let too_deep = now.total > MAX_STACK && now.total > before.total;
        let above = now.above_tail_call > MAX_STACK_ABOVE_TAIL_CALL
            && now.above_tail_call > before.above_tail_call;
        if !too_deep && !above {
            return Ok(());
        }
        // The largest frame that went into another function.
        let gone = (0..frames.len())
            .filter(|&f| self.fused.iter().any(|call| call.callee == program.origin(f as u32)));
        match gone.max_by_key(|&f| self.frames[f]) {
            Some(f) => Err((f as u32, Why::Stack)),
            None => Ok(()),
        }
    }

    /// The instructions of a function by now.
    fn code(&self, f: usize) -> &[Inst] {
        self.written[f].as_deref().unwrap_or_else(|| self.program.bodies[f].listing())
    }

    /// The functions that are still needed, in a row again.
    fn image(self) -> (Image, ImageReport) {
        let old = self.program.image;
        let count = old.functions.len();
        // Functions that nothing referred to before have their reason (an exception callback).
        let unreferenced =
            (0..count).filter(|&f| self.program.calls[f] == 0 && !self.program.callbacks[f]);
        let mut needed = vec![false; count];
        let mut work: Vec<usize> = unreferenced.chain([0]).collect();
        while let Some(f) = work.pop() {
            if !std::mem::replace(&mut needed[f], true) {
                work.extend(self.code(f).iter().filter_map(|i| i.callee).map(Index::get));
            }
        }
        let mut starts = vec![0u32; count];
        let mut end = 0u32;
        for f in (0..count).filter(|&f| needed[f]) {
            starts[f] = end;
            end += self.code(f).iter().map(|inst| inst.slots() as u32).sum::<u32>();
        }
        let mut new = Image {
            name: old.name.clone(),
            instance: old.instance.clone(),
            section: old.section.clone(),
            program: old.program.clone(),
            license: old.license.clone(),
            kernel_version: old.kernel_version,
            insns: Vec::with_capacity(end as usize),
            functions: Vec::new(),
            relocs: Vec::with_capacity(old.relocs.len()),
            lines: Vec::with_capacity(old.lines.len()),
            poisoned: Vec::new(),
            jump_tables: old.jump_tables.clone(),
        };
        let mut regions: Vec<Region> = Vec::new();
        for f in (0..count).filter(|&f| needed[f]) {
            let start = starts[f];
            let mut line = None;
            for inst in self.code(f) {
                let at = new.insns.len() as u32;
                put(&mut new, old, inst, &starts, at);
                // One record for each stretch of code that a record covers.
                if let Some(covering) = inst.line
                    && (line != Some(covering) || at == start)
                {
                    new.lines.push(ImageLine { insn: at, ..old.lines[covering.get()] });
                    line = Some(covering);
                }
                let slots = inst.slots() as u32;
                match regions.last_mut().filter(|r| r.function == inst.func && at != start) {
                    Some(region) => region.len += slots,
                    None => regions.push(Region { start: at, len: slots, function: inst.func }),
                }
            }
            let len = new.insns.len() as u32 - start;
            new.functions.push(ImageFunction { start, len, ..old.functions[f].clone() });
        }
        // A function with tables stays as it is, or goes.
        for table in &mut new.jump_tables {
            let slot = table.first().copied().unwrap_or(0);
            let f = old.functions.partition_point(|f| f.start <= slot).saturating_sub(1);
            match needed[f] {
                true => table.iter_mut().for_each(|s| *s = *s - old.functions[f].start + starts[f]),
                false => table.clear(),
            }
        }
        let report =
            ImageReport { fused: self.fused, kept: self.kept, regions, ..ImageReport::default() };
        (new, report)
    }
}

/// Appends an instruction, with what the old image says of it.
fn put(new: &mut Image, old: &Image, inst: &Inst, starts: &[u32], at: u32) {
    let mut insn = inst.insn;
    if let Some(callee) = inst.callee {
        // Programs have at most a million instructions.
        insn.imm = starts[callee.get()] as i32 - at as i32 - 1;
        debug_assert!(insn.is_bpf_call() || insn.src() == pseudo::FUNC);
    }
    new.insns.push(insn);
    if insn.is_ld_imm64() {
        new.insns.push(bpfweld_insn::Insn { imm: inst.high, ..Default::default() });
    }
    if let Some(reloc) = inst.reloc.and_then(|i| old.relocs.get(i.get())) {
        new.relocs.push(ImageReloc { insn: at, target: reloc.target.clone() });
    }
    if let Some(poisoned) = inst.poisoned.and_then(|i| old.poisoned.get(i.get())) {
        new.poisoned.push(Poisoned { insn: at, ..poisoned.clone() });
    }
}

/// Stack of the call paths of an image.
struct Depths {
    /// Of the deepest.
    total: u32,
    /// The most that lies above a function that tail-calls.
    above_tail_call: u32,
}

impl Depths {
    /// `callees`: what a function calls by now.
    fn new<'c>(
        program: &Program<'_>,
        frames: &[u32],
        callees: impl Fn(usize) -> Cow<'c, [u32]>,
    ) -> Self {
        let mut below = vec![0u32; frames.len()];
        let mut found = Self { total: 0, above_tail_call: 0 };
        for &f in &program.order {
            let f = f as usize;
            let deepest = callees(f).iter().map(|&to| below[to as usize]).max();
            below[f] = deepest.unwrap_or(0) + frames[f].max(1).next_multiple_of(GRANULE);
            found.total = found.total.max(below[f]);
        }
        let mut above = vec![0u32; frames.len()];
        for &f in program.order.iter().rev() {
            let f = f as usize;
            let here = above[f] + frames[f].max(1).next_multiple_of(GRANULE);
            for to in callees(f).iter().map(|&to| to as usize) {
                above[to] = above[to].max(here);
                if program.tail_calls[to] {
                    found.above_tail_call = found.above_tail_call.max(here);
                }
            }
        }
        found
    }
}
