//! The root of a chain: a program that calls XDP programs one after the other, made as an object of
//! its own, without a compiler. Its members are externs; what stands behind them is bound as in any
//! link, see [`extern_name`].
//!
//! For each member the root calls the extern and looks at the verdict: one of the member's
//! [`Verdicts`] and the chain goes on with the next member, any other and the packet has it. Behind the
//! last member, a verdict after which the chain would go on becomes the chain's end verdict.
//!
//! * Verdicts are the 32 bits that the kernel looks at (`bpf_prog_run_xdp`). One that `enum xdp_action`
//!   does not know counts as `XDP_ABORTED`, and is handed on as that.
//! * The root keeps nothing but the context across a call: a member may move the packet's head.
//! * Only instructions that every kernel with function calls takes (no 32-bit jumps).

use std::fmt;
use std::sync::Arc;

use bpfweld_btf::{
    Btf, BtfBuilder, BtfError, Endian, IntEncoding, Kind, Linkage as BtfLinkage, MemberSpec,
    SourceMap, TypeId,
};
use bpfweld_object::{
    AttachType, Body, Extern, ExternId, ExternKind, Function, LineInfo, Lines, Linkage, MapDef,
    Object, ProgramSpec, ProgramType, Reloc, RelocTarget, Unread,
};

use crate::XDP_VERDICTS;
use code::Code;
use foldhash::HashMap;

mod code;
mod counters;

pub use counters::{COUNTER_SLOTS, COUNTERS, COUNTERS_MAP, Counter};

/// Most members of a chain: the kernel takes 256 functions a program (`BPF_MAX_SUBPROGS`), and the root
/// is one.
pub const MAX_MEMBERS: usize = 255;

/// What the root's function, and so the program, is called unless asked otherwise.
pub const ROOT_NAME: &str = "xdp_chain";

/// Name of the prog array of a [`tail_caller`].
pub const TAIL_CALL_MAP: &str = "programs";

/// `XDP_PASS`.
pub const XDP_PASS: u32 = 2;

/// A set of verdicts of XDP programs: bit n for verdict n of `enum xdp_action`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Verdicts(u8);

impl Verdicts {
    /// None.
    pub const NONE: Self = Self(0);
    /// `XDP_PASS` alone.
    pub const PASS: Self = Self(1 << XDP_PASS);
    /// All five.
    pub const ALL: Self = Self((1 << XDP_VERDICTS.len()) - 1);

    /// From a bitmap (bit n for verdict n); `None` with a bit that is no verdict's.
    pub fn from_bits(bits: u32) -> Option<Self> {
        u8::try_from(bits).ok().map(Self).filter(|v| v.0 & !Self::ALL.0 == 0)
    }

    /// As a bitmap.
    pub fn bits(self) -> u32 {
        self.0.into()
    }

    /// Is this verdict in it? One that `enum xdp_action` does not know counts as `XDP_ABORTED`.
    pub fn contains(self, verdict: u32) -> bool {
        let known = if verdict < XDP_VERDICTS.len() as u32 { verdict } else { 0 };
        self.0 & (1 << known) != 0
    }

    /// With one more; one that is no verdict changes nothing.
    pub fn with(self, verdict: u32) -> Self {
        if verdict < XDP_VERDICTS.len() as u32 { Self(self.0 | 1 << verdict) } else { self }
    }

    /// The verdict of a name of [`XDP_VERDICTS`], in any case and with or without `XDP_`.
    pub fn number(name: &str) -> Option<u32> {
        let upper = name.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("XDP_").unwrap_or(&upper);
        (0..).zip(XDP_VERDICTS).find(|(_, n)| n.strip_prefix("XDP_") == Some(short)).map(|(n, _)| n)
    }

    /// The verdicts in it, rising.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..XDP_VERDICTS.len() as u32).filter(move |&v| self.contains(v))
    }
}

impl Default for Verdicts {
    fn default() -> Self {
        Self::PASS
    }
}

/// `XDP_PASS,XDP_TX`; nothing for none.
impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().filter_map(|v| XDP_VERDICTS.get(v as usize));
        for (i, name) in names.enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verdicts({self})")
    }
}

/// One member of a chain, as the root sees it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What messages and the line info of the root call it.
    pub name: &'a str,
    /// After which of its verdicts the chain goes on.
    pub goes_on: Verdicts,
    /// Its type, where there is one: a FUNC with its BTF. The extern is declared with it. Without,
    /// the extern is `int (struct xdp_md *)`.
    pub types: Option<(&'a Btf, TypeId)>,
    /// Its slot in the counters' map, below [`COUNTER_SLOTS`]; of no account without
    /// [`Root::counters`].
    pub slot: u32,
}

impl<'a> Member<'a> {
    /// A member of this name: goes on after `XDP_PASS`, type unknown, first slot.
    pub fn new(name: &'a str) -> Self {
        Self { name, goes_on: Verdicts::PASS, types: None, slot: 0 }
    }
}

/// What to make a root of.
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    /// The members in the order in which they run.
    pub members: &'a [Member<'a>],
    /// The verdict of a packet with which the chain would go on behind the last member.
    pub end: u32,
    /// Does the root take multi-buffer packets? The chain does where all members do as well.
    pub frags: bool,
    /// Are verdicts counted, in a map of the root's own ([`COUNTERS_MAP`])?
    pub counters: bool,
    /// Name of the root's function: an identifier.
    pub name: &'a str,
}

impl<'a> Root<'a> {
    /// Of these members: end verdict `XDP_PASS`, frags, no counters, called [`ROOT_NAME`].
    pub fn new(members: &'a [Member<'a>]) -> Self {
        Self { members, end: XDP_PASS, frags: true, counters: false, name: ROOT_NAME }
    }
}

/// Why no root can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// More members than the kernel takes functions.
    #[error(
        "{count} programs in one chain: the kernel takes {MAX_MEMBERS}, because a program may have 256 functions"
    )]
    TooMany {
        /// How many were asked for.
        count: usize,
    },
    /// An end verdict that is none.
    #[error("{0} is no verdict of an XDP program (0 to 4)")]
    End(u32),
    /// A slot outside the counters' map.
    #[error("`{name}`: slot {slot} is outside the counters' map of {COUNTER_SLOTS} slots")]
    Slot {
        /// The member.
        name: String,
        /// Its slot.
        slot: u32,
    },
    /// A member's type is not that of an XDP program.
    #[error("`{name}` cannot be a member of a chain: its type is `{declaration}`, and {problem}")]
    Prototype {
        /// The member.
        name: String,
        /// Its type in C.
        declaration: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A member's BTF cannot be copied.
    #[error("`{name}`: {source}")]
    Btf {
        /// The member, or the root.
        name: String,
        /// What is wrong.
        source: BtfError,
    },
}

/// Name of the extern that calls the member at this place (from 0).
pub fn extern_name(member: usize) -> String {
    format!("member{member}")
}

/// Makes the root of a chain. Its externs are [`extern_name`] of each place, to be bound to the members'
/// entry functions; its one entry program is what is loaded.
pub fn generate(root: &Root<'_>) -> Result<Object, RootError> {
    check(root)?;
    let mut types = Types::new();
    let func = types.func(root.name, types.proto, BtfLinkage::Global);
    let mut externs = Vec::with_capacity(root.members.len());
    for (i, member) in root.members.iter().enumerate() {
        let proto = types.of_member(member)?;
        let name = extern_name(i);
        externs.push(Extern {
            btf: Some(types.func(&name, proto, BtfLinkage::Extern)),
            name,
            kind: ExternKind::Function,
            weak: false,
            type_id: Some(proto),
        });
    }
    let maps = match root.counters {
        true => vec![counters::map(&mut types.builder, types.word)],
        false => Vec::new(),
    };
    let Code { insns, relocs, lines } = code::emit(root);
    let file_off = types.builder.add_str(b"chain");
    let lines = lines.iter().enumerate().map(|(i, (insn, text))| LineInfo {
        insn: *insn,
        file_off,
        line_off: types.builder.add_str(text.as_bytes()),
        // Bounded by MAX_MEMBERS. Column 1.
        line_col: (i as u32 + 1) << 10 | 1,
    });
    let lines = lines.collect();
    let btf = types.builder.finish();
    let btf = btf.map_err(|source| RootError::Btf { name: root.name.into(), source })?;
    let section: Arc<str> = if root.frags { "xdp.frags" } else { "xdp" }.into();
    Ok(Object {
        name: "chain".into(),
        endian: Endian::Little,
        // As permissive as can be: what the members' licences forbid, the link takes away.
        license: Some("Dual MIT/GPL".into()),
        kernel_version: None,
        functions: vec![Function {
            name: root.name.into(),
            section,
            section_index: 1,
            offset: 0,
            linkage: Linkage::Global,
            program: Some(ProgramSpec {
                prog_type: ProgramType::XDP,
                attach_type: Some(AttachType::XDP),
                frags: root.frags,
                ..ProgramSpec::unknown()
            }),
            body: Body {
                insns: insns.into(),
                relocs,
                btf_func: Some(func),
                lines,
                ..Body::default()
            }
            .into(),
        }],
        maps,
        data: Vec::new(),
        struct_ops: Vec::new(),
        externs,
        btf: Some(Arc::new(btf)),
        notes: Vec::new(),
        unread: Unread::default(),
    })
}

/// An object with one function, `name`, that hands the packet to the program in slot 0 of its prog array
/// ([`TAIL_CALL_MAP`]), and returns `otherwise` where there is none: how a program that is loaded already, and
/// whose object nobody has, becomes a member.
///
/// It is linked as a global function, because the verifier takes a tail call for something that falls
/// through: of a static one it would conclude that `otherwise` is its only verdict.
pub fn tail_caller(name: &str, otherwise: u32, frags: bool) -> Result<Object, RootError> {
    let mut object =
        generate(&Root { members: &[], end: otherwise, frags, counters: false, name })?;
    object.name = name.into();
    object.maps = vec![MapDef {
        name: TAIL_CALL_MAP.into(),
        // BPF_MAP_TYPE_PROG_ARRAY
        map_type: 3,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapDef::default()
    }];
    if let Some(function) = object.functions.first_mut() {
        function.lines = Lines::default();
        let (insns, relocs) = code::tail_call(otherwise);
        function.insns = insns.into();
        function.relocs = relocs;
    }
    Ok(object)
}

/// An object with one function, `name`, for a loaded program to stand in for (freplace): how a component of
/// another dispatcher becomes a member. As long as none does it returns `otherwise`.
///
/// The kernel lets no program in its place that does to the packet what the function does not, so there is
/// a way through it that moves the packet's head.
pub fn replaceable(name: &str, otherwise: u32, frags: bool) -> Result<Object, RootError> {
    let mut object =
        generate(&Root { members: &[], end: otherwise, frags, counters: false, name })?;
    object.name = name.into();
    if let Some(function) = object.functions.first_mut() {
        function.lines = Lines::default();
        function.insns = code::replaceable(otherwise).into();
    }
    Ok(object)
}

fn check(root: &Root<'_>) -> Result<(), RootError> {
    if root.members.len() > MAX_MEMBERS {
        return Err(RootError::TooMany { count: root.members.len() });
    }
    if root.end as usize >= XDP_VERDICTS.len() {
        return Err(RootError::End(root.end));
    }
    match root.members.iter().find(|m| root.counters && m.slot >= COUNTER_SLOTS) {
        Some(member) => Err(RootError::Slot { name: member.name.into(), slot: member.slot }),
        None => Ok(()),
    }
}

/// The root's BTF in the making.
struct Types {
    builder: BtfBuilder,
    /// `unsigned int`.
    word: TypeId,
    /// `int (struct xdp_md *ctx)`.
    proto: TypeId,
    /// Of members' types; several may be of one object.
    sources: HashMap<*const Btf, SourceMap>,
}

impl Types {
    fn new() -> Self {
        let mut builder = BtfBuilder::new();
        let number = |signed| IntEncoding { signed, bits: 32, ..IntEncoding::default() };
        let int = builder.add_int("int", 4, number(true));
        let word = builder.add_int("unsigned int", 4, number(false));
        let u32_ = builder.add_typedef("__u32", word);
        // `struct xdp_md` (linux/bpf.h), which the verifier knows the context by.
        let names = [
            "data",
            "data_end",
            "data_meta",
            "ingress_ifindex",
            "rx_queue_index",
            "egress_ifindex",
        ];
        let members: Vec<_> = (0..)
            .zip(names)
            .map(|(i, name)| MemberSpec {
                name,
                type_id: u32_,
                bit_offset: i * 32,
                bitfield_size: 0,
            })
            .collect();
        let md = builder.add_struct("xdp_md", 24, &members);
        let ctx = builder.add_ptr(md);
        let proto = builder.add_func_proto(int, &[("ctx", ctx)]);
        Self { builder, word, proto, sources: HashMap::default() }
    }

    fn func(&mut self, name: &str, proto: TypeId, linkage: BtfLinkage) -> TypeId {
        self.builder.add_func(name, proto, linkage)
    }

    /// The prototype that a member's extern has: the member's own.
    fn of_member(&mut self, member: &Member<'_>) -> Result<TypeId, RootError> {
        let Some((btf, func)) = member.types else { return Ok(self.proto) };
        let proto = btf.ty(func).target();
        let problem = match proto.kind() {
            Kind::FuncProto if proto.vlen() > 1 => Some("an XDP program takes the context alone"),
            Kind::FuncProto => match btf.resolve(proto.type_id()).kind() {
                Kind::Int | Kind::Enum | Kind::Enum64 => None,
                _ => Some("an XDP program returns a number"),
            },
            _ => Some("that is no function"),
        };
        if let Some(problem) = problem {
            let name = member.name.to_owned();
            let declaration = btf.c_declaration(proto.id(), &name);
            return Err(RootError::Prototype { name, declaration, problem });
        }
        let map = self.sources.entry(btf).or_insert_with(|| SourceMap::new(btf));
        let imported = self.builder.import(map, btf, proto.id());
        imported.map_err(|source| RootError::Btf { name: member.name.into(), source })
    }
}

/// A call of the extern at this place.
fn call(insn: usize, member: usize) -> Reloc {
    // Both are bounded: MAX_MEMBERS members of a few instructions each.
    Reloc { insn: insn as u32, target: RelocTarget::CallExtern(ExternId(member as u32)) }
}
