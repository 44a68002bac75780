//! Types printed as C, for messages and listings: declarations in one line, definitions of structs and
//! enumerations over several.
//!
//! Bounded: a type from a hostile blob may nest for ever, so what is too deep or too long is printed
//! as `…`. Type tags are left out, as they are no part of what a reader writes down or compares.

use std::fmt::Write;

use crate::{Btf, Kind, Linkage, Member, Type, TypeId};

/// How deep parameters and anonymous bodies nest before they are printed as `…`.
const MAX_DEPTH: u32 = 6;
/// Pointers, arrays and qualifiers of one declarator.
const MAX_LINKS: u32 = 64;
/// Types looked at for one declaration, and for one definition.
const DECLARATION_STEPS: u32 = 400;
const DEFINITION_STEPS: u32 = 8000;
/// Members of an anonymous struct and values of an anonymous enumeration in one line.
const MAX_INLINE: usize = 8;
/// Bytes of a name.
const MAX_NAME: usize = 256;

impl Btf {
    /// A declaration of `name` with this type, in one line and without a semicolon:
    /// `struct xdp_md *ctx`, `int (*handler)(void *, int)`, `const char name[16]`. With an empty
    /// name, the type alone.
    ///
    /// A FUNC is printed as its prototype, a VAR with its storage class (`extern`, `static`); with an
    /// empty `name` under their own names.
    pub fn c_declaration(&self, id: TypeId, name: &str) -> String {
        let mut printer = Printer { btf: self, steps: DECLARATION_STEPS };
        let ty = self.ty(id);
        let name = match ty.kind() {
            Kind::Func | Kind::Var if name.is_empty() => ty.name(),
            _ => name,
        };
        let storage = match (ty.kind(), ty.linkage()) {
            (Kind::Var, Linkage::Extern) => "extern ",
            (Kind::Var, Linkage::Static) => "static ",
            _ => "",
        };
        storage.to_owned() + &printer.declare(id, &clean(name), 0, None)
    }

    /// The definition of a struct, union, enumeration or typedef, with its body over several lines;
    /// of any other type its declaration. Ends in a semicolon, without a line break.
    pub fn c_definition(&self, id: TypeId) -> String {
        let mut printer = Printer { btf: self, steps: DEFINITION_STEPS };
        let ty = self.ty(id);
        let definition = match ty.kind() {
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
                let mut out = printer.head(ty);
                out.push(' ');
                out + &printer.body(ty, 0, Some(0))
            }
            Kind::Typedef => {
                "typedef ".to_owned()
                    + &printer.declare(ty.type_id(), &clean(ty.name()), 0, Some(0))
            }
            _ => self.c_declaration(id, ""),
        };
        definition + ";"
    }
}

struct Printer<'a> {
    btf: &'a Btf,
    /// Types that may still be looked at.
    steps: u32,
}

impl Printer<'_> {
    /// A declaration of `name`. `indent` is how far the line is indented where bodies of anonymous
    /// types may go over several lines.
    fn declare(&mut self, id: TypeId, name: &str, depth: u32, indent: Option<usize>) -> String {
        // From the name outwards, as C reads: what binds tighter is written first.
        let mut declarator = name.to_owned();
        let mut qualifiers = Vec::new();
        let mut behind_pointer = false;
        let mut ty = self.btf.ty(id);
        for _ in 0..MAX_LINKS {
            if !self.step() {
                return join("…", &declarator);
            }
            match ty.kind() {
                Kind::Const => qualifiers.push("const"),
                Kind::Volatile => qualifiers.push("volatile"),
                Kind::Restrict => qualifiers.push("restrict"),
                Kind::Ptr => {
                    let words = qualifiers.join(" ");
                    let space = if words.is_empty() || declarator.is_empty() { "" } else { " " };
                    declarator = format!("*{words}{space}{declarator}");
                    qualifiers.clear();
                    behind_pointer = true;
                }
                Kind::Array => {
                    declarator = parenthesised(declarator, behind_pointer);
                    // Writing to a String cannot fail.
                    let _ = write!(declarator, "[{}]", ty.array_len());
                    behind_pointer = false;
                }
                Kind::FuncProto => {
                    declarator = parenthesised(declarator, behind_pointer);
                    declarator += &self.params(ty, depth + 1);
                    qualifiers.clear();
                    behind_pointer = false;
                }
                // Invisible in C, or (FUNC, VAR, DECL_TAG) no types of their own.
                Kind::TypeTag | Kind::Func | Kind::Var | Kind::DeclTag => {}
                _ => {
                    qualifiers.dedup();
                    let mut base = qualifiers.join(" ");
                    if !base.is_empty() {
                        base.push(' ');
                    }
                    base += &self.base(ty, depth, indent);
                    return join(&base, &declarator);
                }
            }
            ty = ty.target();
        }
        join("…", &declarator)
    }

    /// A type that ends a chain: everything but pointers, arrays, prototypes and qualifiers.
    fn base(&mut self, ty: Type<'_>, depth: u32, indent: Option<usize>) -> String {
        let mut out = self.head(ty);
        let has_body = matches!(ty.kind(), Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64);
        if has_body && ty.name().is_empty() {
            out.push(' ');
            out += &self.body(ty, depth + 1, indent);
        }
        out
    }

    /// Keyword and name.
    fn head(&self, ty: Type<'_>) -> String {
        let keyword = match ty.kind() {
            Kind::Struct => "struct",
            Kind::Union => "union",
            Kind::Enum | Kind::Enum64 => "enum",
            Kind::Fwd if ty.kflag() => "union",
            Kind::Fwd => "struct",
            Kind::Void => "void",
            Kind::Datasec => "section",
            _ => "",
        };
        let name = clean(ty.name());
        let space = if keyword.is_empty() || name.is_empty() { "" } else { " " };
        format!("{keyword}{space}{name}")
    }

    fn params(&mut self, proto: Type<'_>, depth: u32) -> String {
        if depth > MAX_DEPTH {
            return "(…)".to_owned();
        }
        let count = proto.vlen();
        if count == 0 {
            return "(void)".to_owned();
        }
        let mut out = "(".to_owned();
        for (i, param) in proto.params().enumerate() {
            if i > 0 {
                out += ", ";
            }
            if self.steps == 0 {
                out += "…";
                break;
            }
            if param.type_id == TypeId::VOID && i + 1 == count {
                out += "...";
            } else {
                out += &self.declare(param.type_id, &clean(param.name), depth, None);
            }
        }
        out + ")"
    }

    /// Members or values in braces: in one line, or each in its own when an indentation is given.
    fn body(&mut self, ty: Type<'_>, depth: u32, indent: Option<usize>) -> String {
        if depth > MAX_DEPTH {
            return "{ … }".to_owned();
        }
        let inner = indent.map(|indent| indent + 1);
        let start = |out: &mut String| match inner {
            Some(indent) => {
                out.push('\n');
                out.extend(std::iter::repeat_n('\t', indent));
            }
            None => out.push(' '),
        };
        let most = if indent.is_some() { usize::MAX } else { MAX_INLINE };
        let mut out = "{".to_owned();
        for (i, member) in ty.members().enumerate() {
            start(&mut out);
            if i == most || !self.step() {
                out += "…";
                break;
            }
            out += &self.member(member, depth, inner);
        }
        for (i, value) in ty.enumerators().enumerate() {
            start(&mut out);
            if i == most || !self.step() {
                out += "…";
                break;
            }
            out += &clean(value.name);
            let _ = match ty.kflag() {
                true => write!(out, " = {},", value.value.cast_signed()),
                false => write!(out, " = {},", value.value),
            };
        }
        match indent {
            Some(indent) => {
                out.push('\n');
                out.extend(std::iter::repeat_n('\t', indent));
            }
            None => out.push(' '),
        }
        out + "}"
    }

    fn member(&mut self, member: Member<'_>, depth: u32, indent: Option<usize>) -> String {
        let mut out = self.declare(member.type_id, &clean(member.name), depth, indent);
        // Without kflag, a bitfield's width is its integer's.
        let int = self.btf.resolve(member.type_id);
        let encoding = int.int_encoding();
        let narrow =
            int.kind() == Kind::Int && u32::from(encoding.bits) < int.size().saturating_mul(8);
        let width = match member.bitfield_size {
            0 if narrow && !encoding.is_bool => encoding.bits.into(),
            width => width,
        };
        if width != 0 {
            let _ = write!(out, " : {width}");
        }
        out + ";"
    }

    fn step(&mut self) -> bool {
        let more = self.steps > 0;
        self.steps = self.steps.saturating_sub(1);
        more
    }
}

/// Type and declarator, with a space where C readers expect one.
fn join(base: &str, declarator: &str) -> String {
    let space = if declarator.is_empty() || declarator.starts_with('[') { "" } else { " " };
    format!("{base}{space}{declarator}")
}

fn parenthesised(declarator: String, needed: bool) -> String {
    if needed { format!("({declarator})") } else { declarator }
}

/// A name fit for a terminal: no control characters, not too long.
fn clean(name: &str) -> String {
    let mut out: String = name.chars().take(MAX_NAME).collect();
    if out.len() < name.len() {
        out.push('…');
    }
    if out.contains(char::is_control) {
        out = out.replace(char::is_control, "?");
    }
    out
}

#[cfg(test)]
mod tests;
