use super::*;
use crate::testing::everything;

/// One part: record size, blocks of (section name offset, records).
fn part(endian: Endian, step: u32, blocks: &[(u32, &[&[u32]])]) -> Vec<u8> {
    let mut words = vec![step];
    for &(name, records) in blocks {
        words.extend([name, records.len() as u32]);
        for record in records {
            words.extend(*record);
        }
    }
    let bytes = |word: &u32| match endian {
        Endian::Little => word.to_le_bytes(),
        Endian::Big => word.to_be_bytes(),
    };
    words.iter().flat_map(bytes).collect()
}

fn blob(endian: Endian, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut header = vec![0x0001_eb9f, 8 + parts.len() as u32 * 8];
    let mut offset = 0;
    for part in parts {
        header.extend([offset, part.len() as u32]);
        offset += part.len() as u32;
    }
    let mut out: Vec<u8> = match endian {
        Endian::Little => header.iter().flat_map(|w| w.to_le_bytes()).collect(),
        Endian::Big => header.iter().flat_map(|w| w.to_be_bytes()).collect(),
    };
    if endian == Endian::Big {
        out[..4].copy_from_slice(&[0xeb, 0x9f, 1, 0]);
    }
    out.extend(parts.concat());
    out
}

/// Three parts, each with a record or two.
pub(crate) fn sample(endian: Endian, name: u32, func: u32) -> Vec<u8> {
    let funcs = part(endian, 8, &[(name, &[&[0, func], &[8, func]])]);
    let lines = part(endian, 16, &[(name, &[&[0, name, name, 1024]])]);
    let core = part(endian, 16, &[(name, &[&[8, 1, name, 0]])]);
    blob(endian, &[funcs, lines, core])
}

/// A blob with a FUNC, and the offsets of two names to use for sections.
fn btf() -> (Btf, u32, u32, u32) {
    let btf = everything(0);
    let func = btf.find(Kind::Func, "work").unwrap();
    let names = (func.name_off(), btf.find(Kind::Struct, "node").unwrap().name_off());
    let id = func.id().0;
    (btf, id, names.0, names.1)
}

#[test]
fn records_of_either_byte_order_and_any_size() {
    let (btf, func, a, b) = btf();
    for endian in [Endian::Little, Endian::Big] {
        let funcs =
            part(endian, 12, &[(a, &[&[64, func, 7], &[0, func, 7]]), (b, &[&[8, func, 7]])]);
        let lines = part(endian, 20, &[(a, &[&[0, a, b, 1 << 10 | 3, 9]])]);
        let core = part(endian, 16, &[(b, &[&[8, 1, a, 12]])]);
        let ext = BtfExt::parse(blob(endian, &[funcs, lines, core]), &btf).unwrap();
        let work = ext.section("work").unwrap();
        let type_id = TypeId(func);
        let at = |insn_off| FuncInfo { insn_off, type_id };
        assert_eq!(work.funcs, [at(0), at(64)], "sorted by offset");
        let line = LineRecord { insn_off: 0, file_off: a, line_off: b, line_col: 1027 };
        assert!(work.lines.iter().eq([line]));
        let node = ext.section("node").unwrap();
        assert_eq!(node.funcs, [at(8)]);
        let core = CoreRecord { insn_off: 8, type_id: TypeId(1), access_off: a, kind: 12 };
        assert_eq!(node.core, [core]);
        assert_eq!(ext.sections().len(), 2);
        assert!(ext.section("xdp").is_none());
    }
}

#[test]
fn blocks_of_one_section_are_joined() {
    let (btf, func, a, _) = btf();
    let funcs =
        part(Endian::NATIVE, 8, &[(a, &[&[8, func]]), (a, &[]), (a, &[&[0, func], &[16, func]])]);
    let ext = BtfExt::parse(blob(Endian::NATIVE, &[funcs, vec![]]), &btf).unwrap();
    let offsets: Vec<_> = ext.sections()[0].funcs.iter().map(|f| f.insn_off).collect();
    assert_eq!((ext.sections().len(), offsets), (1, vec![0, 8, 16]));
}

#[test]
fn a_header_without_core_part_has_none() {
    let (btf, ..) = btf();
    let ext = BtfExt::parse(blob(Endian::NATIVE, &[vec![], vec![]]), &btf).unwrap();
    assert!(ext.sections().is_empty());
}

#[test]
fn what_is_wrong_is_said() {
    let (btf, func, a, _) = btf();
    let e = Endian::NATIVE;
    let fails = |parts: &[Vec<u8>], want: &str| {
        let error = BtfExt::parse(blob(e, parts), &btf).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    };
    fails(&[part(e, 4, &[]), vec![]], "func_info records of 4 bytes");
    fails(&[part(e, 10, &[]), vec![]], "func_info records of 10 bytes");
    fails(&[vec![], part(e, 12, &[])], "line_info records of 12 bytes");
    fails(&[part(e, 8, &[(0, &[&[0, func]])]), vec![]], "names no ELF section");
    fails(&[part(e, 8, &[(99_999, &[&[0, func]])]), vec![]], "names no ELF section");
    fails(&[part(e, 8, &[(a, &[&[16, 1]])]), vec![]], "offset 0x10: type [1] is no FUNC");
    fails(&[part(e, 8, &[(a, &[&[16, 9999]])]), vec![]], "type [9999], there are only");
    fails(&[vec![], part(e, 16, &[(a, &[&[0, 1 << 30, 0, 0]])])], "string offset 1073741824");
    fails(&[vec![], vec![], part(e, 16, &[(a, &[&[0, 9999, 0, 0]])])], "core_relo of section");
    let mut short = part(e, 8, &[(a, &[&[0, func]])]);
    short.truncate(short.len() - 4);
    fails(&[short, vec![]], "1 records of 8 bytes, 4 are left");
    let mut many = part(e, 8, &[(a, &[&[0, func]])]);
    many[8..12].copy_from_slice(&u32::MAX.to_ne_bytes());
    fails(&[many, vec![]], "4294967295 records of 8 bytes, 8 are left");

    let whole = blob(e, &[part(e, 8, &[(a, &[&[0, func]])]), vec![], vec![]]);
    for len in 0..whole.len() {
        assert!(BtfExt::parse(whole[..len].to_vec(), &btf).is_err(), "cut to {len} bytes");
    }
    let mut version = whole.clone();
    version[2] = 2;
    assert_eq!(BtfExt::parse(version, &btf).unwrap_err(), BtfError::Version(2));
    let mut magic = whole;
    magic[0] = 0;
    assert!(matches!(BtfExt::parse(magic, &btf), Err(BtfError::Magic(_))));
}

#[test]
fn lines_stay_in_place_when_in_order() {
    let (btf, _, a, b) = btf();
    let record = |insn_off| [insn_off, a, b, 1 << 10];
    let line = |insn_off| LineRecord { insn_off, file_off: a, line_off: b, line_col: 1 << 10 };
    let lines = |blocks: &[&[&[u32]]]| {
        let blocks: Vec<(u32, &[&[u32]])> = blocks.iter().map(|records| (a, *records)).collect();
        let blob = Bytes::from(blob(Endian::NATIVE, &[vec![], part(Endian::NATIVE, 16, &blocks)]));
        let ext = BtfExt::parse(blob.clone(), &btf).unwrap();
        let lines = ext.section("work").unwrap().lines.clone();
        // Whoever still holds the bytes besides this function.
        drop(ext);
        (lines, !blob.is_unique())
    };
    let wanted = [0, 8, 24].map(line);
    let [first, second, third] = [0, 8, 24].map(record);
    for (blocks, in_place) in [
        (&[&[&first[..], &second, &third][..]][..], true),
        (&[&[&second[..], &third, &first][..]][..], false),
        (&[&[&second[..], &third][..], &[&first[..]][..]][..], false),
    ] {
        let (lines, shared) = lines(blocks);
        assert!(lines.iter().eq(wanted), "{lines:?}");
        assert_eq!((shared, lines.len()), (in_place, 3));
        assert!(lines.between(8, 24).iter().eq([line(8)]));
        assert!(lines.between(25, 99).is_empty() && lines.between(9, 3).is_empty());
    }
}
