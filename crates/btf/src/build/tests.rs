use super::*;
use crate::Endian;
use crate::testing::{INT, everything};

#[test]
fn what_is_built_reads_back_in_both_byte_orders() {
    let built = everything(0);
    for endian in [Endian::Little, Endian::Big] {
        let read = Btf::parse(&built.to_bytes_endian(endian)).unwrap();
        assert_eq!(read.endian(), endian);
        assert_eq!(read.type_count(), built.type_count());
        assert_eq!(read.to_bytes(), built.to_bytes());
    }
}

#[test]
fn strings_are_kept_once() {
    let mut b = BtfBuilder::new();
    let one = b.add_str(b"one");
    assert_eq!(b.add_str(b"one"), one);
    assert_ne!(b.add_str(b"on"), one);
    assert_eq!(b.add_str(b"one\0two"), one);
    assert_eq!(b.add_str(b""), 0);
}

#[test]
fn views_show_what_was_added() {
    let btf = everything(3);
    let node = btf.find(Kind::Struct, "node").unwrap();
    assert!(node.kflag());
    let flag = node.members().nth(1).unwrap();
    assert_eq!((flag.name, flag.bit_offset, flag.bitfield_size), ("flag", 128, 3));
    let colour = btf.find(Kind::Enum, "colour").unwrap();
    assert_eq!(colour.enumerators().next().map(|e| e.value as i64), Some(-1));
    let big = btf.find(Kind::Enum64, "big").unwrap();
    assert_eq!(big.enumerators().next().map(|e| e.value), Some(1 << 40));
    let int = btf.find(Kind::Int, "int").unwrap();
    assert_eq!(int.int_encoding(), INT);
    let counter = btf.find(Kind::Var, "counter").unwrap();
    assert_eq!(counter.linkage(), Linkage::Global);
    assert_eq!(btf.find(Kind::Datasec, ".bss").unwrap().section_vars().count(), 1);
}

#[test]
fn what_does_not_fit_is_the_error_of_finish() {
    let mut b = BtfBuilder::new();
    let int = b.add_int("int", 4, INT);
    let far = MemberSpec { name: "far", type_id: int, bit_offset: 1 << 24, bitfield_size: 1 };
    b.add_struct("s", 4, &[far]);
    assert!(b.finish().unwrap_err().to_string().contains("s.far: bit offset 16777216"));

    let mut b = BtfBuilder::new();
    b.add_func_proto(TypeId::VOID, &vec![("", TypeId::VOID); 65_536]);
    assert!(b.finish().unwrap_err().to_string().contains("65536 parts"));

    let mut b = BtfBuilder::new();
    b.add_ptr(TypeId(9));
    assert!(matches!(b.finish(), Err(BtfError::TypeId { id: 1, target: 9, .. })));

    let mut b = BtfBuilder::new();
    let int = b.add_int("int", 4, INT);
    b.set_target(int, TypeId::VOID);
    assert!(b.finish().is_err());
}
