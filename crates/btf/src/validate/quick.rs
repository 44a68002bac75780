//! The usual blob, which a compiler made and nobody damaged, is seen to be valid without a message
//! being prepared at every step. Whatever is not as usual goes the long way, which knows the words.

use crate::Btf;
use crate::kind::Kind;
use crate::read::Word;
use crate::scan::each_info;

/// Types inside types, as far as this looks.
const LEVELS: u8 = 32;
/// Marks of [`Quick::known`]: not seen; being looked into; has no size.
const UNSEEN: u32 = u32::MAX;
const OPEN: u32 = u32::MAX - 1;
const NONE: u32 = u32::MAX - 2;

struct Quick<'a> {
    btf: &'a Btf,
    /// Bytes of each type, or a mark, and types inside types in it. A size like a mark is not usual.
    known: Vec<(u32, u8)>,
    /// Kind of each type as its number: a member's is asked for far more often than its record.
    kinds: Vec<u8>,
}

/// The kinds that are no types of anything, as bits.
const NO_TYPES: u32 = 1 << Kind::Func as u32
    | 1 << Kind::Var as u32
    | 1 << Kind::Datasec as u32
    | 1 << Kind::DeclTag as u32;

/// Does everything that [`Btf::validate`] checks hold? `false` when that is not known.
pub(super) fn is_valid(btf: &Btf) -> bool {
    if btf.base().is_some() {
        return false;
    }
    let count = btf.type_count() as usize;
    let mut kinds = Vec::with_capacity(count);
    kinds.push(Kind::Void as u8);
    // Five bits.
    each_info(btf.words(), |info| kinds.push((info >> 24 & 0x1f).to_le_bytes()[0]));
    let mut quick = Quick { btf, known: vec![(UNSEEN, 0); count], kinds };
    (1..btf.type_count()).all(|id| quick.size(id, 0, &mut 0).is_some())
}

fn number(word: Word) -> u32 {
    u32::from_ne_bytes(word)
}

impl<'a> Quick<'a> {
    /// Bytes of a type, or [`NONE`]; `None` when something in it is not as usual. What it is inside
    /// of is then at least as `deep`.
    #[inline]
    fn size(&mut self, id: u32, level: u8, deep: &mut u8) -> Option<u32> {
        let (size, own) = self.known.get(id as usize).copied()?;
        if size <= NONE {
            *deep = own.max(*deep);
            return Some(size);
        }
        self.find_size(id, level, deep)
    }

    /// [`Quick::size`] of what is not known yet.
    #[inline(never)]
    fn find_size(&mut self, id: u32, level: u8, deep: &mut u8) -> Option<u32> {
        let (known, _) = self.known.get(id as usize).copied()?;
        if id == 0 {
            return Some(NONE);
        }
        if known == OPEN || level == LEVELS {
            return None;
        }
        *self.known.get_mut(id as usize)? = (OPEN, 0);
        let mut own = 0;
        let size = self.visit(id, level + 1, &mut own)?;
        own += 1;
        if own > LEVELS {
            return None;
        }
        *self.known.get_mut(id as usize)? = (size, own);
        *deep = own.max(*deep);
        Some(size)
    }

    fn record(&self, id: u32) -> Option<(Kind, &'a [Word])> {
        let raw = self.btf.record(id);
        Some((Kind::of_info(number(*raw.get(1)?))?, raw))
    }

    fn visit(&mut self, id: u32, held: u8, deep: &mut u8) -> Option<u32> {
        let (kind, raw) = self.record(id)?;
        let &[_, info, third, ref rest @ ..] = raw else { return None };
        let (info, third) = (number(info), number(third));
        match kind {
            Kind::Int => {
                let word = number(*rest.first()?);
                let plain = word >> 16 & 0xff == 0 && word & 0xff == third.checked_mul(8)?;
                (plain && third <= 16).then_some(third)
            }
            Kind::Ptr => self.is_type(third).then_some(8),
            Kind::Enum | Kind::Enum64 | Kind::Float => (third < NONE).then_some(third),
            Kind::Fwd => Some(NONE),
            Kind::Array => {
                let &[element, index, len] = rest.first_chunk()?;
                let (element, index) = (number(element), number(index));
                if !self.is_type(element) || !self.is_type(index) {
                    return None;
                }
                self.size(index, held, deep)?;
                let size = self.size(element, held, deep).filter(|&size| size != NONE)?;
                size.checked_mul(number(len)).filter(|&size| size < NONE)
            }
            Kind::Struct | Kind::Union => {
                let (whole, kflag) = (u64::from(third) * 8, info >> 31 == 1);
                for &[_, ty, offset] in rest.as_chunks().0 {
                    let (ty, offset) = (number(ty), number(offset));
                    let size = self.size(ty, held, deep).filter(|&size| size != NONE)?;
                    let (at, width) =
                        if kflag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
                    let bits = if width == 0 { u64::from(size) * 8 } else { width.into() };
                    if !self.is_type(ty) || u64::from(at) + bits > whole {
                        return None;
                    }
                }
                (third < NONE).then_some(third)
            }
            Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                if !self.is_type(third) {
                    return None;
                }
                self.size(third, held, deep)
            }
            Kind::Func => {
                let (target, _) = self.record(third)?;
                (target == Kind::FuncProto).then_some(NONE)
            }
            Kind::FuncProto => {
                let params = rest.as_chunks().0.iter();
                let all = self.is_type(third)
                    && params.map(|&[_, ty]| number(ty)).all(|ty| self.is_type(ty));
                all.then_some(NONE)
            }
            Kind::Var => {
                if !self.is_type(third) {
                    return None;
                }
                self.size(third, held, deep)
            }
            Kind::Datasec => {
                for &[var, _, _] in rest.as_chunks().0 {
                    let (target, _) = self.record(number(var))?;
                    if !matches!(target, Kind::Var | Kind::Func) {
                        return None;
                    }
                    self.size(number(var), held, deep)?;
                }
                (third < NONE).then_some(third)
            }
            Kind::Void | Kind::DeclTag => None,
        }
    }

    /// Functions, variables, sections and declaration tags are no types of anything.
    #[inline]
    fn is_type(&self, id: u32) -> bool {
        self.kinds.get(id as usize).is_some_and(|&kind| NO_TYPES >> kind & 1 == 0)
    }
}
