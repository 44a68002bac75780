//! Do two function prototypes, or two variables, of two blobs agree? The check that stands between an
//! extern and what is bound to it.
//!
//! Typedefs, qualifiers and type tags count nowhere, parameter names neither. Then:
//!
//! * Return types and parameters agree one by one; arity and `...` must be the same.
//! * Structs, unions and enumerations with a name agree by kind and name, up to a CO-RE flavour (what
//!   follows `___`). Behind a pointer that is all; by value their sizes must agree as well. A
//!   forward declaration agrees with its struct. Their members are not compared: two objects
//!   built against different headers may well know different parts of a struct.
//! * Without a name, they agree member by member, or value by value.
//! * Integers agree by size and signedness; `bool` counts as unsigned. An enumeration agrees with an
//!   integer of its size, since C code uses either (`enum xdp_action` and `int`). Floats agree by size.
//! * Arrays agree by element and count, pointers by what they point to, prototypes behind pointers as
//!   above.
//! * `void *` agrees with `void *` only. C converts to and from it without a word where a value is passed, but
//!   not where two declarations of one function meet, and that is what happens here: a
//!   dispatcher that declares `int prog(void *ctx)` would otherwise take programs of any context.

use foldhash::HashSet;

use crate::{Btf, Kind, Type, TypeId};

/// How two prototypes differ. `wanted` is the first one's side, `given` the second's; both as C.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// One of the two is no function at all.
    #[error("`{0}` is no function")]
    NoFunction(String),
    /// They take different numbers of parameters.
    #[error("{wanted} parameters are wanted, {given} are given")]
    Arity {
        /// Number of the first one's parameters, without a `...`.
        wanted: usize,
        /// Number of the second one's.
        given: usize,
    },
    /// One of the two ends in `...`.
    #[error("a function {} `...` is wanted, one {} is given", with(*.wanted), with(!.wanted))]
    Variadic {
        /// Is it the first?
        wanted: bool,
    },
    /// They return different types.
    #[error("return type `{wanted}` is wanted, `{given}` is given: {why}")]
    Return {
        /// The first one's return type.
        wanted: String,
        /// The second one's.
        given: String,
        /// What differs.
        why: String,
    },
    /// One parameter differs.
    #[error("parameter {number}: `{wanted}` is wanted, `{given}` is given: {why}")]
    Param {
        /// Which, counted from 1.
        number: usize,
        /// The first one's, with its name.
        wanted: String,
        /// The second one's.
        given: String,
        /// What differs.
        why: String,
    },
    /// Two variables differ.
    #[error("`{wanted}` is wanted, `{given}` is given: {why}")]
    Variable {
        /// The first one's type.
        wanted: String,
        /// The second one's.
        given: String,
        /// What differs.
        why: String,
    },
}

/// Does the variable `given` fit where `wanted` is declared? Each is a VAR or a type. An array
/// declared without a length (`extern int table[]`) takes one of any length.
pub fn check_variable(wanted: (&Btf, TypeId), given: (&Btf, TypeId)) -> Result<(), Mismatch> {
    let inside = |(btf, id): (&'_ Btf, TypeId)| match btf.ty(id).kind() {
        Kind::Var => btf.ty(id).type_id(),
        _ => id,
    };
    let (a, b) = (wanted.0.ty(wanted.1), given.0.ty(given.1));
    let (a_type, b_type) = (inside(wanted), inside(given));
    let mut compare = Compare { assumed: HashSet::default(), steps: 0 };
    let (a_array, b_array) = (wanted.0.resolve(a_type), given.0.resolve(b_type));
    let open = a_array.kind() == Kind::Array && a_array.array_len() == 0;
    let outcome = match open && b_array.kind() == Kind::Array {
        true => compare.types(a, a_array.type_id(), b, b_array.type_id(), 0),
        false => compare.types(a, a_type, b, b_type, 0),
    };
    outcome.map_err(|why| Mismatch::Variable {
        wanted: wanted.0.c_declaration(a_type, ""),
        given: given.0.c_declaration(b_type, ""),
        why,
    })
}

fn with(variadic: bool) -> &'static str {
    if variadic { "with" } else { "without" }
}

/// Does the function `given` fit where `wanted` is called? Each is a FUNC, a FUNC_PROTO, or a VAR of
/// such a type (the 2019 encoding of extern functions).
pub fn check_prototype(wanted: (&Btf, TypeId), given: (&Btf, TypeId)) -> Result<(), Mismatch> {
    let (a, b) = (prototype(wanted.0, wanted.1)?, prototype(given.0, given.1)?);
    let mut compare = Compare { assumed: HashSet::default(), steps: 0 };
    compare.prototypes(a, b)
}

/// Follows a FUNC or VAR to its prototype.
fn prototype(btf: &Btf, id: TypeId) -> Result<Type<'_>, Mismatch> {
    let mut ty = btf.resolve(id);
    while matches!(ty.kind(), Kind::Func | Kind::Var) {
        // Neither can refer to another of its kind; should one do so, it ends here.
        let next = btf.resolve(ty.type_id());
        if matches!(next.kind(), Kind::Func | Kind::Var) {
            break;
        }
        ty = next;
    }
    match ty.kind() {
        Kind::FuncProto => Ok(ty),
        _ => Err(Mismatch::NoFunction(btf.c_declaration(id, ""))),
    }
}

struct Compare {
    /// Pairs of types that are being compared, or were found to agree.
    assumed: HashSet<(TypeId, TypeId)>,
    steps: u32,
}

/// Pairs looked at; more takes a hostile blob.
const MAX_STEPS: u32 = 20_000;
const MAX_DEPTH: u32 = 64;

impl Compare {
    fn prototypes(&mut self, a: Type<'_>, b: Type<'_>) -> Result<(), Mismatch> {
        let (wanted, given) = (arity(a), arity(b));
        if wanted.1 != given.1 {
            return Err(Mismatch::Variadic { wanted: wanted.1 });
        }
        if wanted.0 != given.0 {
            return Err(Mismatch::Arity { wanted: wanted.0, given: given.0 });
        }
        let text = |ty: Type<'_>, id, name: &str| ty.btf().c_declaration(id, name);
        self.types(a, a.type_id(), b, b.type_id(), 0).map_err(|why| Mismatch::Return {
            wanted: text(a, a.type_id(), ""),
            given: text(b, b.type_id(), ""),
            why,
        })?;
        for (i, (p, q)) in a.params().zip(b.params()).enumerate() {
            self.types(a, p.type_id, b, q.type_id, 0).map_err(|why| Mismatch::Param {
                number: i + 1,
                wanted: text(a, p.type_id, p.name),
                given: text(b, q.type_id, q.name),
                why,
            })?;
        }
        Ok(())
    }

    /// Two types by id, each in the blob of the type that refers to it. The error says what differs.
    fn types(
        &mut self,
        in_a: Type<'_>,
        a: TypeId,
        in_b: Type<'_>,
        b: TypeId,
        depth: u32,
    ) -> Result<(), String> {
        let (a, b) = (in_a.btf().resolve(a), in_b.btf().resolve(b));
        // A pair met again while it is being compared adds nothing: it agrees unless another part
        // does not. What a prototype names itself leads nowhere yet.
        if depth > 0 && !self.assumed.insert((a.id(), b.id())) {
            return Ok(());
        }
        self.steps += 1;
        if self.steps > MAX_STEPS || depth > MAX_DEPTH {
            return Err("the types nest too deep to be compared".to_owned());
        }
        self.resolved(a, b, depth + 1)
    }

    fn resolved(&mut self, a: Type<'_>, b: Type<'_>, depth: u32) -> Result<(), String> {
        match (a.kind(), b.kind()) {
            (Kind::Void, Kind::Void) => Ok(()),
            (Kind::Int | Kind::Enum | Kind::Enum64, Kind::Int | Kind::Enum | Kind::Enum64) => {
                integers(a, b)
            }
            (Kind::Float, Kind::Float) => sizes(a, b),
            (Kind::Ptr, Kind::Ptr) => self.pointers(a, b, depth),
            (Kind::Array, Kind::Array) if a.array_len() != b.array_len() => {
                Err(format!("arrays of {} and of {} elements", a.array_len(), b.array_len()))
            }
            (Kind::Array, Kind::Array) => self.types(a, a.type_id(), b, b.type_id(), depth),
            (Kind::FuncProto, Kind::FuncProto) => self.callbacks(a, b, depth),
            _ if composite(a).is_some() && composite(a) == composite(b) => {
                match (a.name(), b.name()) {
                    ("", "") => self.members(a, b, depth),
                    _ => {
                        names(a, b)?;
                        let complete = a.kind() != Kind::Fwd && b.kind() != Kind::Fwd;
                        if complete { sizes(a, b) } else { Ok(()) }
                    }
                }
            }
            _ => Err(format!("{} is not {}", describe(a), describe(b))),
        }
    }

    fn pointers(&mut self, a: Type<'_>, b: Type<'_>, depth: u32) -> Result<(), String> {
        let (x, y) = (a.btf().resolve(a.type_id()), b.btf().resolve(b.type_id()));
        if (x.kind() == Kind::Void) != (y.kind() == Kind::Void) {
            return Err("`void *` agrees with no other pointer".to_owned());
        }
        // Behind a pointer the name is enough.
        let named = !x.name().is_empty() || !y.name().is_empty();
        if named && composite(x).is_some() && composite(x) == composite(y) {
            return names(x, y);
        }
        self.types(a, a.type_id(), b, b.type_id(), depth)
    }

    fn callbacks(&mut self, a: Type<'_>, b: Type<'_>, depth: u32) -> Result<(), String> {
        if arity(a) != arity(b) {
            return Err("functions with different numbers of parameters".to_owned());
        }
        self.types(a, a.type_id(), b, b.type_id(), depth)?;
        a.params()
            .zip(b.params())
            .try_for_each(|(p, q)| self.types(a, p.type_id, b, q.type_id, depth))
    }

    fn members(&mut self, a: Type<'_>, b: Type<'_>, depth: u32) -> Result<(), String> {
        sizes(a, b)?;
        if a.vlen() != b.vlen() {
            return Err(format!("{} and {} members", a.vlen(), b.vlen()));
        }
        for (p, q) in a.members().zip(b.members()) {
            if p.name != q.name {
                return Err(format!("member `{}` is not `{}`", p.name, q.name));
            }
            if (p.bit_offset, p.bitfield_size) != (q.bit_offset, q.bitfield_size) {
                return Err(format!("member `{}` lies elsewhere", p.name));
            }
            self.types(a, p.type_id, b, q.type_id, depth)
                .map_err(|why| format!("member `{}`: {why}", p.name))?;
        }
        Ok(())
    }
}

/// Number of parameters, and is there a `...` behind them?
fn arity(proto: Type<'_>) -> (usize, bool) {
    let variadic = proto.params().last().is_some_and(|p| p.type_id == TypeId::VOID);
    (proto.vlen() - usize::from(variadic), variadic)
}

/// What a type that agrees by name is, a forward declaration included.
fn composite(ty: Type<'_>) -> Option<Kind> {
    match ty.kind() {
        Kind::Fwd if ty.kflag() => Some(Kind::Union),
        Kind::Fwd => Some(Kind::Struct),
        kind @ (Kind::Struct | Kind::Union) => Some(kind),
        _ => None,
    }
}

fn integers(a: Type<'_>, b: Type<'_>) -> Result<(), String> {
    sizes(a, b)?;
    if a.kind() == Kind::Int && b.kind() == Kind::Int {
        let (x, y) = (a.int_encoding(), b.int_encoding());
        if x.signed != y.signed {
            return Err("one is signed, the other is not".to_owned());
        }
        if x.bits != y.bits && !x.is_bool && !y.is_bool {
            return Err(format!("{} and {} bits", x.bits, y.bits));
        }
    } else if a.kind() != Kind::Int && b.kind() != Kind::Int {
        // Two enumerations.
        match (a.name(), b.name()) {
            ("", "") if !a.enumerators().map(value).eq(b.enumerators().map(value)) => {
                return Err("enumerations with different values".to_owned());
            }
            ("", "") => {}
            _ => names(a, b)?,
        }
    }
    Ok(())
}

fn value(e: crate::Enumerator<'_>) -> (&str, u64) {
    (e.name, e.value)
}

fn names(a: Type<'_>, b: Type<'_>) -> Result<(), String> {
    match essential_name(a.name_bytes()) == essential_name(b.name_bytes()) {
        true => Ok(()),
        false => Err(format!("{} is not {}", describe(a), describe(b))),
    }
}

/// A name without its CO-RE flavour: what is before the last `___` that something stands on both
/// sides of.
fn essential_name(name: &[u8]) -> &[u8] {
    let at = name.windows(5).rposition(
        |w| matches!(w, [before, b'_', b'_', b'_', after] if *before != b'_' && *after != b'_'),
    );
    at.and_then(|at| name.get(..=at)).unwrap_or(name)
}

fn sizes(a: Type<'_>, b: Type<'_>) -> Result<(), String> {
    match a.size() == b.size() {
        true => Ok(()),
        false => Err(format!("{} and {} bytes", a.size(), b.size())),
    }
}

fn describe(ty: Type<'_>) -> String {
    match ty.kind() {
        Kind::Ptr => "a pointer".to_owned(),
        Kind::Array => "an array".to_owned(),
        Kind::FuncProto => "a function".to_owned(),
        _ => format!("`{}`", ty.btf().c_declaration(ty.id(), "")),
    }
}

#[cfg(test)]
mod tests;
