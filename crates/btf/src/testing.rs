//! Blobs for tests.

use crate::{Btf, BtfBuilder, IntEncoding, Kind, Linkage, MemberSpec, SectionVar, TypeId};

pub(crate) const INT: IntEncoding =
    IntEncoding { signed: true, is_char: false, is_bool: false, bit_offset: 0, bits: 32 };
pub(crate) const UINT: IntEncoding = IntEncoding { signed: false, ..INT };
pub(crate) const BOOL: IntEncoding = IntEncoding { is_bool: true, bits: 8, ..UINT };

pub(crate) fn member<'a>(name: &'a str, type_id: TypeId, byte: u32) -> MemberSpec<'a> {
    MemberSpec { name, type_id, bit_offset: byte * 8, bitfield_size: 0 }
}

/// `struct list_head` with its two pointers to itself.
pub(crate) fn list_head(b: &mut BtfBuilder) -> TypeId {
    let ptr = b.add_ptr(TypeId::VOID);
    let list = b.add_struct("list_head", 16, &[member("next", ptr, 0), member("prev", ptr, 8)]);
    b.set_target(ptr, list);
    list
}

/// One of every kind, and a struct that reaches itself. `filler` types first, so that ids differ.
pub(crate) fn everything(filler: u32) -> Btf {
    let mut b = BtfBuilder::new();
    for i in 0..filler {
        b.add_float(&format!("filler{i}"), 4);
    }
    let int = b.add_int("int", 4, INT);
    let u32_ = b.add_int("unsigned int", 4, UINT);
    let bool_ = b.add_int("_Bool", 1, BOOL);
    let list = list_head(&mut b);
    let typedef = b.add_typedef("__u32", u32_);
    let array = b.add_array(int, u32_, 4);
    let volatile = b.add_volatile(typedef);
    let fwd = b.add_fwd("later", false);
    let fwd_ptr = b.add_ptr(fwd);
    let float = b.add_float("double", 8);
    let e = b.add_enum("colour", 4, true, &[("RED", -1), ("GREEN", 0)]);
    let e64 = b.add_enum64("big", 8, false, &[("BIG", 1 << 40)]);
    let tag = b.add_type_tag("rcu", list);
    let tag_ptr = b.add_ptr(tag);
    let union = b.add_union("", 8, &[member("d", float, 0), member("big", e64, 0)]);
    let bits = |name, type_id, bit_offset, bitfield_size| MemberSpec {
        name,
        type_id,
        bit_offset,
        bitfield_size,
    };
    let st = b.add_struct(
        "node",
        72,
        &[
            bits("list", list, 0, 0),
            bits("flag", u32_, 128, 3),
            bits("more", u32_, 131, 5),
            bits("", union, 192, 0),
            bits("values", array, 256, 0),
            bits("later", fwd_ptr, 384, 0),
            bits("rcu", tag_ptr, 448, 0),
            bits("ok", bool_, 512, 0),
            bits("colour", e, 544, 0),
        ],
    );
    b.add_decl_tag("contains:node:list", st, Some(0));
    let konst = b.add_const(st);
    let ptr = b.add_ptr(konst);
    let restrict = b.add_restrict(ptr);
    let proto = b.add_func_proto(int, &[("n", restrict), ("v", volatile), ("", TypeId::VOID)]);
    let func = b.add_func("work", proto, Linkage::Global);
    b.add_decl_tag("arg:nonnull", func, Some(0));
    let var = b.add_var("counter", u32_, Linkage::Global);
    b.add_datasec(".bss", 4, &[SectionVar { type_id: var, offset: 0, size: 4 }]);
    b.finish().unwrap()
}

pub(crate) fn find(btf: &Btf, kind: Kind, name: &str) -> TypeId {
    btf.find(kind, name).unwrap_or_else(|| panic!("no {kind:?} {name}")).id()
}

/// Another blob with what `everything` has not: attributes, an extern function, odd names.
pub(crate) fn oddities() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.add_int("int", 4, INT);
    let uint = b.add_int("unsigned int", 4, UINT);
    let double = b.add_float("long double", 16);
    let rust = b.add_struct("Option<u32>", 16, &[member("0", int, 0), member("d.x", int, 4)]);
    let attr = b.add_type_attr("address_space(1)", rust);
    let ptr = b.add_ptr(attr);
    let union_fwd = b.add_fwd("u", true);
    let fwd_ptr = b.add_ptr(union_fwd);
    let proto = b.add_func_proto(int, &[("", ptr), ("self.x", fwd_ptr), ("", TypeId::VOID)]);
    b.add_func("wanted", proto, Linkage::Extern);
    let func = b.add_func("{closure#0}", proto, Linkage::Global);
    b.add_decl_attr("attr", func, Some(1));
    let signed64 = b.add_enum64("e", 8, true, &[("a::B", -1)]);
    let bits = MemberSpec { name: "e", type_id: signed64, bit_offset: 3, bitfield_size: 32 };
    let st = b.add_struct("bits", 8, &[bits]);
    b.add_decl_tag("on a bitfield", st, Some(0));
    let array = b.add_array(double, uint, 3);
    let one = b.add_var("f.one", array, Linkage::Static);
    let two = b.add_var("two", st, Linkage::Global);
    let ext = b.add_var("CONFIG_X", int, Linkage::Extern);
    b.add_decl_tag("on a variable", one, None);
    let v = |type_id, offset, size| SectionVar { type_id, offset, size };
    b.add_datasec(".data.my-sec", 60, &[v(one, 0, 48), v(two, 48, 8)]);
    // As clang leaves them: unsorted, empty, with externs.
    b.add_datasec(".bss", 0, &[v(two, 0, 8), v(one, 0, 48)]);
    b.add_datasec(".kconfig", 0, &[v(ext, 0, 4)]);
    b.add_datasec(".rodata", 8, &[v(two, 8, 8), v(one, 0, 8)]);
    // The 2019 encoding of an extern function.
    let old = b.add_var("prog1", proto, Linkage::Extern);
    b.add_datasec(".extern", 0, &[v(old, 0, 0)]);
    b.add_datasec(".ksyms", 0, &[v(func, 0, 0)]);
    b.finish().unwrap()
}
