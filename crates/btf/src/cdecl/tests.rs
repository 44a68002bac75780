use crate::testing::{INT, UINT, everything, find, list_head, member};
use crate::{BtfBuilder, Kind, Linkage, MemberSpec, TypeId};

#[test]
fn declarations_read_as_c() {
    let mut b = BtfBuilder::new();
    let int = b.add_int("int", 4, INT);
    let uint = b.add_int("unsigned int", 4, UINT);
    let char_ = b.add_int("char", 1, INT);
    let md = b.add_struct("xdp_md", 24, &[]);
    let ctx = b.add_ptr(md);
    let void_ptr = b.add_ptr(TypeId::VOID);
    let prog = b.add_func_proto(int, &[("ctx", ctx)]);
    let func = b.add_func("prog1", prog, Linkage::Extern);
    let none = b.add_func_proto(TypeId::VOID, &[]);
    let callback = b.add_func_proto(int, &[("", void_ptr), ("n", uint), ("", TypeId::VOID)]);
    let callback_ptr = b.add_ptr(callback);
    let table = b.add_array(callback_ptr, uint, 3);
    let table_ptr = b.add_ptr(table);
    let returns_callback = b.add_func_proto(callback_ptr, &[("x", int)]);
    let const_char = b.add_const(char_);
    let text = b.add_ptr(const_char);
    let const_text = b.add_const(text);
    let restrict = b.add_restrict(const_text);
    let name = b.add_array(const_char, uint, 16);
    let chars = b.add_array(char_, uint, 2);
    let const_name = b.add_const(chars);
    let matrix_row = b.add_array(int, uint, 4);
    let matrix = b.add_array(matrix_row, uint, 2);
    let typedef = b.add_typedef("__u32", uint);
    let volatile = b.add_volatile(typedef);
    let const_volatile = b.add_const(volatile);
    let tag = b.add_type_tag("rcu", md);
    let tag_ptr = b.add_ptr(tag);
    let fwd = b.add_fwd("sock", false);
    let fwd_union = b.add_fwd("bpf_attr", true);
    let fwd_ptr = b.add_ptr(fwd);
    let enum_ = b.add_enum("xdp_action", 4, false, &[("XDP_DROP", 1)]);
    let anon_enum = b.add_enum("", 4, true, &[("NO", -1), ("YES", 1)]);
    let anon = b.add_struct("", 8, &[member("a", int, 0), member("e", anon_enum, 4)]);
    let anon_ptr = b.add_ptr(anon);
    let var = b.add_var("counter", volatile, Linkage::Extern);
    let static_var = b.add_var("limit", const_volatile, Linkage::Static);
    let old_extern = b.add_var("prog2", prog, Linkage::Extern);
    let btf = b.finish().unwrap();
    for (id, name, want) in [
        (TypeId::VOID, "", "void"),
        (int, "x", "int x"),
        (prog, "prog1", "int prog1(struct xdp_md *ctx)"),
        (func, "", "int prog1(struct xdp_md *ctx)"),
        (func, "other", "int other(struct xdp_md *ctx)"),
        (none, "f", "void f(void)"),
        (prog, "", "int (struct xdp_md *ctx)"),
        (callback_ptr, "cb", "int (*cb)(void *, unsigned int n, ...)"),
        (callback_ptr, "", "int (*)(void *, unsigned int n, ...)"),
        (table, "t", "int (*t[3])(void *, unsigned int n, ...)"),
        (table_ptr, "t", "int (*(*t)[3])(void *, unsigned int n, ...)"),
        (returns_callback, "f", "int (*f(int x))(void *, unsigned int n, ...)"),
        (text, "s", "const char *s"),
        (const_text, "s", "const char *const s"),
        (const_text, "", "const char *const"),
        (restrict, "s", "const char *restrict const s"),
        (name, "n", "const char n[16]"),
        (const_name, "n", "const char n[2]"),
        (matrix, "m", "int m[2][4]"),
        (matrix, "", "int[2][4]"),
        (const_volatile, "x", "const volatile __u32 x"),
        (tag_ptr, "p", "struct xdp_md *p"),
        (fwd_ptr, "sk", "struct sock *sk"),
        (fwd_union, "a", "union bpf_attr a"),
        (enum_, "a", "enum xdp_action a"),
        (anon_ptr, "p", "struct { int a; enum { NO = -1, YES = 1, } e; } *p"),
        (var, "", "extern volatile __u32 counter"),
        (static_var, "", "static const volatile __u32 limit"),
        (old_extern, "", "extern int prog2(struct xdp_md *ctx)"),
    ] {
        assert_eq!(btf.c_declaration(id, name), want);
    }
}

#[test]
fn definitions_read_as_c() {
    let btf = everything(0);
    let node = btf.c_definition(find(&btf, Kind::Struct, "node"));
    let want = "\
struct node {
\tstruct list_head list;
\tunsigned int flag : 3;
\tunsigned int more : 5;
\tunion {
\t\tdouble d;
\t\tenum big big;
\t};
\tint values[4];
\tstruct later *later;
\tstruct list_head *rcu;
\t_Bool ok;
\tenum colour colour;
};";
    assert_eq!(node, want);
    let colour = btf.c_definition(find(&btf, Kind::Enum, "colour"));
    assert_eq!(colour, "enum colour {\n\tRED = -1,\n\tGREEN = 0,\n};");
    let typedef = btf.c_definition(find(&btf, Kind::Typedef, "__u32"));
    assert_eq!(typedef, "typedef unsigned int __u32;");
    assert_eq!(btf.c_definition(find(&btf, Kind::Int, "int")), "int;");
}

#[test]
fn what_never_ends_is_cut() {
    let mut b = BtfBuilder::new();
    // A struct that holds itself, without a name; a prototype that takes itself, twice.
    let anon = b.add_struct("", 8, &[member("a", TypeId::VOID, 0), member("b", TypeId::VOID, 0)]);
    b.set_member_type(anon, 0, anon);
    b.set_member_type(anon, 1, anon);
    let ptr = b.add_ptr(TypeId::VOID);
    let proto = b.add_func_proto(ptr, &[("a", ptr), ("b", ptr)]);
    b.set_target(ptr, proto);
    let typedef = b.add_const(TypeId::VOID);
    b.set_target(typedef, typedef);
    let long = "x".repeat(3000);
    let long = b.add_struct(&long, 0, &[]);
    let escape = b.add_struct("a\u{1b}[31m\n", 0, &[]);
    let btf = b.finish().unwrap();
    for ty in btf.types() {
        let (line, body) = (btf.c_declaration(ty.id(), "x"), btf.c_definition(ty.id()));
        assert!(line.len() < 40_000 && body.len() < 400_000, "{} {}", line.len(), body.len());
    }
    for id in [anon, ptr, proto, typedef, long] {
        assert!(btf.c_declaration(id, "x").contains('…'));
    }
    assert_eq!(btf.c_declaration(escape, ""), "struct a?[31m?");
}

#[test]
fn old_bitfields_show_their_width() {
    let mut b = BtfBuilder::new();
    let bits = b.add_int("unsigned int", 4, crate::IntEncoding { bits: 3, ..UINT });
    let list = list_head(&mut b);
    let spec = MemberSpec { name: "f", type_id: bits, ..MemberSpec::default() };
    let st = b.add_struct("s", 24, &[spec, member("l", list, 8)]);
    let btf = b.finish().unwrap();
    let want = "struct s {\n\tunsigned int f : 3;\n\tstruct list_head l;\n};";
    assert_eq!(btf.c_definition(st), want);
}
