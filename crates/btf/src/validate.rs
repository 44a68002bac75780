//! Checks beyond those of parsing: do the types make sense together ([`Btf::validate`]), and would the
//! kernel take them ([`Btf::check_for_kernel`], rules in `kernel.rs`)?
//!
//! What passes `validate` has no type that contains itself or nests too deep, no reference to
//! something that is no type, and sizes that add up; whoever walks it by value needs no second look.
//! Only pointers and prototypes may lead in circles.

mod kernel;
mod quick;

use crate::read::Word;
use crate::{Btf, BtfError, Kind, Member, Type, TypeId};

pub(crate) use kernel::{MAX_IDENTIFIER, NameRule, is_dotted_identifier, is_identifier, name_rule};

/// What is wrong with a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It holds itself by value, or is a typedef or qualifier of itself.
    #[error("it contains itself")]
    Cycle,
    /// Types inside types inside types: more than 128 deep or, for the kernel, more than 32
    /// typedefs and qualifiers in a row.
    #[error("types nest too deep in it")]
    Depth,
    /// It refers to something of the wrong kind.
    #[error("{what} is type [{target}], of kind {kind:?}")]
    Refers {
        /// Which of its references.
        what: &'static str,
        /// What it refers to.
        target: u32,
        /// Of which kind that is.
        kind: Kind,
    },
    /// A part that takes room has no size (void, a forward declaration, a function).
    #[error("{part} has no size")]
    NoSize {
        /// Which part.
        part: String,
    },
    /// An array of more than 4 GiB.
    #[error("its size does not fit 32 bits")]
    Overflow,
    /// An integer that is wider than its storage or than 128 bits.
    #[error("{bits} bits at bit {offset} do not fit into {size} bytes")]
    IntBits {
        /// Width.
        bits: u8,
        /// Where it starts.
        offset: u8,
        /// Bytes of storage.
        size: u32,
    },
    /// A part that ends outside.
    #[error("{part} ends at bit {end}, the whole has {bits}")]
    Outside {
        /// Which member or variable.
        part: String,
        /// Where it ends.
        end: u64,
        /// Where the whole ends.
        bits: u64,
    },
    /// A variable of a section with less room than its type needs, or none.
    #[error("{part} has {room} bytes, its type takes {size}")]
    Room {
        /// Which variable.
        part: String,
        /// Bytes that the section gives it.
        room: u32,
        /// Bytes of its type.
        size: u64,
    },
    /// A declaration tag on a member or parameter that is not there.
    #[error("it is on part {component} of type [{target}], which has {count}")]
    Component {
        /// Index of the part.
        component: u32,
        /// What the tag is on.
        target: u32,
        /// Number of parts there.
        count: usize,
    },
    /// A name that the kernel takes for nothing of this kind.
    #[error("{what} `{name}` is no name that the kernel takes")]
    Name {
        /// Which of its names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Another of the kernel's rules.
    #[error("{0}")]
    Kernel(&'static str),
}

/// [`Btf::resolve`] follows 256 links and calls what is longer `void`; the kernel takes 32.
const MAX_DEPTH: u8 = 128;

impl Btf {
    /// Checks that the types make sense together: nothing contains itself, references are to types
    /// of the right kind, members lie inside their structs, sizes do not overflow. Names and what only the
    /// kernel asks for (sorted sections) do not count: clang's objects do not have them.
    ///
    /// Of split BTF, its own types are checked.
    pub fn validate(&self) -> Result<(), BtfError> {
        match quick::is_valid(self) {
            true => Ok(()),
            false => self.validate_each(),
        }
    }

    /// The same, one type after the other: what is wrong, if something is.
    #[cold]
    fn validate_each(&self) -> Result<(), BtfError> {
        let layout = Layout::new(self)?;
        self.types().try_for_each(|ty| layout.check(ty).map_err(|problem| invalid(ty, problem)))
    }

    /// Checks what [`Btf::validate`] does, and that a kernel that knows every kind would take the blob:
    /// sections sorted and free of overlaps, linkages, names, limits. For BTF that was built, before it is
    /// loaded. (The kernel's bound on structs inside structs, 32, depends on the order of types; 128 is
    /// checked.)
    pub fn check_for_kernel(&self) -> Result<(), BtfError> {
        let layout = Layout::new(self)?;
        kernel::check_blob(self)?;
        let unnamed = kernel::unnamed_protos(self);
        self.types().try_for_each(|ty| {
            let checked = layout.check(ty).and_then(|()| kernel::check(ty, &layout, &unnamed));
            checked.map_err(|problem| invalid(ty, problem))
        })
    }
}

fn invalid(ty: Type<'_>, problem: Problem) -> BtfError {
    BtfError::Invalid { id: ty.id().0, kind: ty.kind(), name: ty.name().to_owned(), problem }
}

/// Sizes of all types, found in one walk along what types hold by value.
struct Layout<'a> {
    btf: &'a Btf,
    /// By id.
    known: Vec<Known>,
    /// Is there an integer that is not as wide as its storage?
    odd_ints: bool,
}

/// What is known of a type.
#[derive(Clone, Copy)]
struct Known {
    /// In bytes; [`NO_SIZE`] for void, forward declarations, functions and tags.
    size: u64,
    kind: Kind,
    /// Types inside types inside it.
    depth: u8,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unseen,
    /// Being looked into.
    Open,
    Done,
}

const NO_SIZE: u64 = u64::MAX;
const UNSEEN: Known = Known { size: NO_SIZE, kind: Kind::Void, depth: 0, state: State::Unseen };
const VOID: Known = Known { state: State::Done, ..UNSEEN };

impl<'a> Layout<'a> {
    fn new(btf: &'a Btf) -> Result<Self, BtfError> {
        let mut known = vec![UNSEEN; btf.type_count() as usize];
        if let Some(void) = known.first_mut() {
            *void = VOID;
        }
        let mut layout = Self { btf, known, odd_ints: false };
        for ty in btf.types() {
            if layout.known(ty.id()).state == State::Unseen {
                layout.measure(ty, 0)?;
            }
        }
        Ok(layout)
    }

    fn known(&self, id: TypeId) -> Known {
        self.known.get(id.0 as usize).copied().unwrap_or(VOID)
    }

    /// Measures a type and, before it, what it holds. `level` such are open: each is inside the one
    /// before, so there are never more than the deepest type may have.
    fn measure(&mut self, ty: Type<'a>, level: u8) -> Result<(), BtfError> {
        if level > MAX_DEPTH {
            return Err(invalid(ty, Problem::Depth));
        }
        let kind = ty.kind();
        set(&mut self.known, ty.id(), Known { kind, state: State::Open, ..UNSEEN });
        let mut depth = 0;
        let mut part = |id: TypeId| {
            let mut part = self.known(id);
            if part.state != State::Done {
                if part.state == State::Open {
                    return Err(invalid(ty, Problem::Cycle));
                }
                let held = self.btf.ty(id);
                if id < self.btf.first_id() {
                    // The base's types are not ours to check.
                    let size = held.byte_size().unwrap_or(NO_SIZE);
                    part = Known { size, kind: held.kind(), ..VOID };
                    set(&mut self.known, id, part);
                } else {
                    self.measure(held, level + 1)?;
                    part = self.known(id);
                }
            }
            depth = depth.max(part.depth);
            Ok(part.size)
        };
        let size = match kind {
            Kind::Ptr => 8,
            Kind::Array => {
                let element = part(ty.type_id())?;
                part(ty.array_index_type())?;
                match (element, element.checked_mul(ty.array_len().into())) {
                    (NO_SIZE, _) => NO_SIZE,
                    (_, Some(size)) if size <= u32::MAX.into() => size,
                    _ => return Err(invalid(ty, Problem::Overflow)),
                }
            }
            Kind::Struct | Kind::Union => {
                for [_, id, _] in ty.rest().as_chunks().0 {
                    part(TypeId(u32::from_ne_bytes(*id)))?;
                }
                ty.size().into()
            }
            Kind::Datasec => {
                for [id, _, _] in ty.rest().as_chunks().0 {
                    part(TypeId(u32::from_ne_bytes(*id)))?;
                }
                ty.size().into()
            }
            Kind::Func | Kind::DeclTag => {
                part(ty.type_id())?;
                NO_SIZE
            }
            Kind::Void | Kind::Fwd | Kind::FuncProto => NO_SIZE,
            kind if kind.refers() => part(ty.type_id())?,
            _ => ty.size().into(),
        };
        if kind == Kind::Int {
            let e = ty.int_encoding();
            self.odd_ints |= u64::from(e.bits) + u64::from(e.bit_offset) != size * 8;
        }
        if depth >= MAX_DEPTH {
            return Err(invalid(ty, Problem::Depth));
        }
        let depth = depth + 1;
        set(&mut self.known, ty.id(), Known { size, kind, depth, state: State::Done });
        Ok(())
    }

    fn size(&self, id: TypeId) -> Option<u64> {
        Some(self.known(id).size).filter(|&size| size != NO_SIZE)
    }

    fn check(&self, ty: Type<'_>) -> Result<(), Problem> {
        match ty.kind() {
            Kind::Int => {
                let e = ty.int_encoding();
                let end = u32::from(e.bits) + u32::from(e.bit_offset);
                if end > 128 || u64::from(end) > u64::from(ty.size()) * 8 {
                    let (bits, offset) = (e.bits, e.bit_offset);
                    return Err(Problem::IntBits { bits, offset, size: ty.size() });
                }
                Ok(())
            }
            Kind::Ptr | Kind::Typedef => self.is_type("its target", ty.type_id()),
            kind if kind.is_qualifier() => self.is_type("its target", ty.type_id()),
            Kind::Array => {
                self.is_type("its element", ty.type_id())?;
                self.is_type("its index", ty.array_index_type())?;
                self.has_size(ty.type_id(), || "its element".to_owned())
            }
            Kind::Struct | Kind::Union if self.plain_members(ty) => Ok(()),
            Kind::Struct | Kind::Union => ty.members().try_for_each(|m| self.member(ty, m)),
            Kind::Func => match self.kind(ty.type_id()) {
                Kind::FuncProto => Ok(()),
                kind => Err(refers("its prototype", ty.type_id(), kind)),
            },
            Kind::FuncProto => {
                self.is_type("its return type", ty.type_id())?;
                let params = ty.rest().as_chunks().0.iter();
                params
                    .map(|[_, id]| TypeId(u32::from_ne_bytes(*id)))
                    .try_for_each(|id| self.is_type("a parameter", id))
            }
            // `void` is a kernel symbol without a type; a prototype is an extern function of 2019.
            Kind::Var => self.is_type("its type", ty.type_id()),
            Kind::Datasec => ty.section_vars().try_for_each(|v| match self.kind(v.type_id) {
                Kind::Var | Kind::Func => Ok(()),
                kind => Err(refers("a variable", v.type_id, kind)),
            }),
            Kind::DeclTag => self.tag(ty),
            _ => Ok(()),
        }
    }

    fn kind(&self, id: TypeId) -> Kind {
        let known = self.known(id);
        // Types of a base are looked at only where something holds them.
        if known.state == State::Unseen { self.btf.ty(id).kind() } else { known.kind }
    }

    /// Are all members types, have a size, and lie inside? What is not as usual is left to
    /// [`Layout::member`].
    fn plain_members(&self, ty: Type<'_>) -> bool {
        let (whole, kflag) = (u64::from(ty.size()) * 8, ty.kflag());
        let plain = |[_, id, offset]: &[Word; 3]| {
            let known = self.known(TypeId(u32::from_ne_bytes(*id)));
            let offset = u32::from_ne_bytes(*offset);
            let (at, width) = if kflag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            let bits = if width == 0 { known.size.saturating_mul(8) } else { width.into() };
            let is_type = !matches!(known.kind, Kind::Var | Kind::Datasec);
            is_type && known.size != NO_SIZE && u64::from(at).saturating_add(bits) <= whole
        };
        !self.odd_ints && ty.rest().as_chunks().0.iter().all(plain)
    }

    /// Functions, variables, sections and declaration tags are no types of anything.
    fn is_type(&self, what: &'static str, id: TypeId) -> Result<(), Problem> {
        match self.kind(id) {
            kind @ (Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag) => {
                Err(refers(what, id, kind))
            }
            _ => Ok(()),
        }
    }

    fn has_size(&self, id: TypeId, part: impl FnOnce() -> String) -> Result<(), Problem> {
        match self.size(id) {
            Some(_) => Ok(()),
            None => Err(Problem::NoSize { part: part() }),
        }
    }

    fn member(&self, ty: Type<'_>, m: Member<'_>) -> Result<(), Problem> {
        let part = || format!("member `{}`", m.name);
        self.is_type("a member", m.type_id)?;
        self.has_size(m.type_id, part)?;
        let size = self.size(m.type_id).unwrap_or(0);
        let int = self.btf.resolve(m.type_id);
        let bits = match m.bitfield_size {
            // Before kflag, an integer of its own said how wide the bitfield is.
            0 if int.kind() == Kind::Int => {
                let e = int.int_encoding();
                u64::from(e.bits) + u64::from(e.bit_offset)
            }
            0 => size.saturating_mul(8),
            bits => bits.into(),
        };
        let (end, whole) = (u64::from(m.bit_offset) + bits, u64::from(ty.size()) * 8);
        match end <= whole {
            true => Ok(()),
            false => Err(Problem::Outside { part: part(), end, bits: whole }),
        }
    }

    fn tag(&self, ty: Type<'_>) -> Result<(), Problem> {
        let target = ty.target();
        let count = match target.kind() {
            Kind::Struct | Kind::Union => target.vlen(),
            Kind::Func => target.target().vlen(),
            Kind::Typedef | Kind::Var => 0,
            kind => return Err(refers("what it is on", ty.type_id(), kind)),
        };
        match ty.component() {
            Some(component) if component as usize >= count => {
                Err(Problem::Component { component, target: target.id().0, count })
            }
            _ => Ok(()),
        }
    }
}

fn refers(what: &'static str, target: TypeId, kind: Kind) -> Problem {
    Problem::Refers { what, target: target.0, kind }
}

fn set<T>(list: &mut [T], id: TypeId, value: T) {
    if let Some(slot) = list.get_mut(id.0 as usize) {
        *slot = value;
    }
}

#[cfg(test)]
mod tests;
