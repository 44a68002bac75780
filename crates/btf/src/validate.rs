//! Checks beyond those of parsing: do the types make sense together ([`Btf::validate`]), and would the
//! kernel take them ([`Btf::check_for_kernel`], rules in `kernel.rs`)?
//!
//! What passes `validate` has no type that contains itself or nests too deep, no reference to
//! something that is no type, and sizes that add up; whoever walks it by value needs no second look.
//! Only pointers and prototypes may lead in circles.

mod kernel;

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
    /// By id; [`NO_SIZE`] for void, forward declarations, functions and tags.
    sizes: Vec<u64>,
}

const NO_SIZE: u64 = u64::MAX;

impl<'a> Layout<'a> {
    fn new(btf: &'a Btf) -> Result<Self, BtfError> {
        let count = btf.type_count() as usize;
        let mut layout = Self { btf, sizes: vec![NO_SIZE; count] };
        // 0: not seen, 1: being looked into, 2: done.
        let mut state = vec![0u8; count];
        let mut depths = vec![0u8; count];
        let mut frames: Vec<(Type<'_>, usize)> = Vec::new();
        for root in btf.types() {
            if state.get(root.id().0 as usize) == Some(&0) {
                set(&mut state, root.id(), 1);
                frames.push((root, 0));
            }
            while let Some((ty, next)) = frames.last_mut() {
                let ty = *ty;
                if let Some(target) = by_value(ty, *next) {
                    *next += 1;
                    if target < btf.first_id() {
                        // The base's types are not ours to check.
                        let size = btf.ty(target).byte_size().unwrap_or(NO_SIZE);
                        set(&mut layout.sizes, target, size);
                        continue;
                    }
                    match state.get(target.0 as usize) {
                        Some(0) => {
                            set(&mut state, target, 1);
                            frames.push((btf.ty(target), 0));
                        }
                        Some(1) => return Err(invalid(ty, Problem::Cycle)),
                        _ => {}
                    }
                    continue;
                }
                frames.pop();
                set(&mut state, ty.id(), 2);
                let size = layout.measure(ty).map_err(|problem| invalid(ty, problem))?;
                set(&mut layout.sizes, ty.id(), size);
                let targets = (0..).map_while(|n| by_value(ty, n));
                let deepest = targets.filter_map(|t| depths.get(t.0 as usize)).max();
                match deepest.copied().unwrap_or(0) {
                    MAX_DEPTH.. => return Err(invalid(ty, Problem::Depth)),
                    depth => set(&mut depths, ty.id(), depth + 1),
                }
            }
        }
        Ok(layout)
    }

    /// The size of a type whose parts are measured.
    fn measure(&self, ty: Type<'_>) -> Result<u64, Problem> {
        Ok(match ty.kind() {
            Kind::Ptr => 8,
            Kind::Array => match self.size(ty.type_id()) {
                Some(size) => match size.checked_mul(ty.array_len().into()) {
                    Some(size) if size <= u32::MAX.into() => size,
                    _ => return Err(Problem::Overflow),
                },
                None => NO_SIZE,
            },
            Kind::Typedef | Kind::Var => self.size(ty.type_id()).unwrap_or(NO_SIZE),
            kind if kind.is_qualifier() => self.size(ty.type_id()).unwrap_or(NO_SIZE),
            Kind::Void | Kind::Fwd | Kind::Func | Kind::FuncProto | Kind::DeclTag => NO_SIZE,
            _ => ty.size().into(),
        })
    }

    fn size(&self, id: TypeId) -> Option<u64> {
        self.sizes.get(id.0 as usize).copied().filter(|&size| size != NO_SIZE)
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
            Kind::Struct | Kind::Union => ty.members().try_for_each(|m| self.member(ty, m)),
            Kind::Func => match ty.target().kind() {
                Kind::FuncProto => Ok(()),
                kind => Err(refers("its prototype", ty.type_id(), kind)),
            },
            Kind::FuncProto => {
                self.is_type("its return type", ty.type_id())?;
                ty.params().try_for_each(|p| self.is_type("a parameter", p.type_id))
            }
            // `void` is a kernel symbol without a type; a prototype is an extern function of 2019.
            Kind::Var => self.is_type("its type", ty.type_id()),
            Kind::Datasec => {
                ty.section_vars().try_for_each(|v| match self.btf.ty(v.type_id).kind() {
                    Kind::Var | Kind::Func => Ok(()),
                    kind => Err(refers("a variable", v.type_id, kind)),
                })
            }
            Kind::DeclTag => self.tag(ty),
            _ => Ok(()),
        }
    }

    /// Functions, variables, sections and declaration tags are no types of anything.
    fn is_type(&self, what: &'static str, id: TypeId) -> Result<(), Problem> {
        match self.btf.ty(id).kind() {
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

/// The `n`th type that a type holds by value, or is another name of.
fn by_value(ty: Type<'_>, n: usize) -> Option<TypeId> {
    if matches!(ty.kind(), Kind::Ptr | Kind::FuncProto) {
        return None;
    }
    let slots = ty.slots();
    let at = (n < slots.ref_count()).then(|| slots.nth_ref(n))?;
    ty.raw().get(at).copied().map(TypeId)
}

fn set<T>(list: &mut [T], id: TypeId, value: T) {
    if let Some(slot) = list.get_mut(id.0 as usize) {
        *slot = value;
    }
}

#[cfg(test)]
mod tests;
