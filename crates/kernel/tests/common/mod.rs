//! Sets of images made by hand, and the kernel to load them into.

// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bpfweld_btf::{BtfBuilder, IntEncoding, Linkage, TypeId};
use bpfweld_insn::{CALL, EXIT, Insn, LD_IMM64, pseudo};
use bpfweld_kernel::facts::{map_type, prog_type};
use bpfweld_kernel::{
    Feature, Features, LoadError, LoadOptions, Loaded, RealSys, RunOptions, Support,
};
use bpfweld_link::{
    Image, ImageFunction, ImageLine, ImageMap, ImageReloc, ImageSet, ImageTarget, InstanceId,
    MapContent, MapIndex, MapSpec,
};
use bpfweld_object::{AttachType, DataKind, FuncId, ProgramSpec, ProgramType};

/// Says that a test could not run here, past the test runner, which hides what passing tests print.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("?");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// The real kernel's features; `None`, with a message, where bpf(2) is not permitted.
pub fn real_kernel() -> Option<Arc<Features>> {
    let features = Features::new(Arc::new(RealSys));
    for feature in [Feature::Bpf, Feature::TestRunXdp] {
        match features.support(feature) {
            Support::Present => {}
            support => {
                skip(&format!("needs bpf(2), as root: {feature} is {support:?}"));
                return None;
            }
        }
    }
    Some(Arc::new(features))
}

/// Loads everything, without options.
pub fn load(set: &ImageSet, features: &Arc<Features>) -> Result<Loaded, LoadError> {
    bpfweld_kernel::load_all(set, features, &LoadOptions::default())
}

pub const PACKET: [u8; 64] = [0xab; 64];

/// What one run returns.
pub fn verdict(program: &bpfweld_kernel::Program) -> u32 {
    program.runner().run(&PACKET, &RunOptions::default()).unwrap().verdict.code
}

/// A set of one program that passes everything.
pub fn pass_set() -> SetBuilder {
    let mut set = SetBuilder::new();
    set.image("pass", vec![mov(0, 2), exit()], &[]);
    set
}

pub fn ins(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

/// `dst = imm`
pub fn mov(dst: u8, imm: i32) -> Insn {
    ins(0xb7, dst, 0, 0, imm)
}

/// `dst = src`
pub fn mov_reg(dst: u8, src: u8) -> Insn {
    ins(0xbf, dst, src, 0, 0)
}

/// `dst = *(u32 *)(src + off)`
pub fn load_u32(dst: u8, src: u8, off: i16) -> Insn {
    ins(0x61, dst, src, off, 0)
}

/// `*(u32 *)(dst + off) = src`
pub fn store_u32(dst: u8, off: i16, src: u8) -> Insn {
    ins(0x63, dst, src, off, 0)
}

/// `dst += imm`
pub fn add(dst: u8, imm: i32) -> Insn {
    ins(0x07, dst, 0, 0, imm)
}

pub fn exit() -> Insn {
    ins(EXIT, 0, 0, 0, 0)
}

pub fn call_helper(number: i32) -> Insn {
    ins(CALL, 0, 0, 0, number)
}

pub fn call_function(delta: i32) -> Insn {
    ins(CALL, 0, pseudo::CALL, 0, delta)
}

/// A call to be patched.
pub fn call_kernel() -> Insn {
    ins(CALL, 0, pseudo::KFUNC_CALL, 0, -1)
}

/// An `ldimm64` to be patched.
pub fn imm64(dst: u8) -> [Insn; 2] {
    [ins(LD_IMM64, dst, 0, 0, 0), Insn::default()]
}

/// A set in the making.
pub struct SetBuilder {
    pub btf: BtfBuilder,
    pub int: TypeId,
    proto: TypeId,
    pub maps: Vec<ImageMap>,
    pub images: Vec<Image>,
}

pub const LABEL: &str = "dir/unit.bpf.o";

impl SetBuilder {
    pub fn new() -> Self {
        let mut btf = BtfBuilder::new();
        let signed =
            IntEncoding { signed: true, is_char: false, is_bool: false, bit_offset: 0, bits: 32 };
        let int = btf.add_int("int", 4, signed);
        let proto = btf.add_func_proto(int, &[("ctx", int)]);
        Self { btf, int, proto, maps: Vec::new(), images: Vec::new() }
    }

    /// An image of one function.
    pub fn image(&mut self, name: &str, insns: Vec<Insn>, relocs: &[(u32, ImageTarget)]) -> u32 {
        let len = insns.len() as u32;
        self.functions(name, insns, relocs, &[(name, 0, len)])
    }

    /// An image of several static functions: (name, start, length).
    pub fn functions(
        &mut self,
        name: &str,
        insns: Vec<Insn>,
        relocs: &[(u32, ImageTarget)],
        functions: &[(&str, u32, u32)],
    ) -> u32 {
        let functions: Vec<ImageFunction> = functions
            .iter()
            .map(|&(name, start, len)| ImageFunction {
                name: name.into(),
                origin: (InstanceId(0), FuncId(0)),
                start,
                len,
                type_id: self.btf.add_func(name, self.proto, Linkage::Static),
                global: false,
            })
            .collect();
        let file = self.btf.add_str(b"unit.c");
        let lines = functions
            .iter()
            .map(|f| ImageLine {
                insn: f.start,
                file_off: file,
                line_off: self.btf.add_str(f.name.as_bytes()),
                line_col: (f.start + 1) << 10,
            })
            .collect();
        self.images.push(Image {
            name: name.into(),
            instance: LABEL.into(),
            section: "xdp".into(),
            program: xdp_spec(),
            license: "GPL".into(),
            kernel_version: None,
            insns,
            functions,
            relocs: relocs
                .iter()
                .map(|(insn, target)| ImageReloc { insn: *insn, target: target.clone() })
                .collect(),
            lines,
            poisoned: Vec::new(),
            jump_tables: Vec::new(),
        });
        self.images.len() as u32 - 1
    }

    /// A data section of 32-bit variables named `v0`, `v1`, …
    pub fn data(&mut self, name: &str, kind: DataKind, values: &[u32]) -> MapIndex {
        let size = values.len() as u32 * 4;
        let vars: Vec<_> = (0..values.len() as u32)
            .map(|n| bpfweld_btf::SectionVar {
                type_id: self.btf.add_var(&format!("v{n}"), self.int, Linkage::Global),
                offset: n * 4,
                size: 4,
            })
            .collect();
        let datasec = self.btf.add_datasec(name, size, &vars);
        let bytes = match kind {
            DataKind::Bss => Vec::new(),
            _ => values.iter().flat_map(|v| v.to_ne_bytes()).collect(),
        };
        self.map(name, MapContent::Data { kind, size, bytes: bytes.into(), datasec: Some(datasec) })
    }

    /// A data section of one array, `const u32 values[]`.
    pub fn data_with_array(&mut self, name: &str, values: &[u32]) -> MapIndex {
        let size = values.len() as u32 * 4;
        let array = self.btf.add_array(self.int, self.int, values.len() as u32);
        let constant = self.btf.add_const(array);
        let type_id = self.btf.add_var("values", constant, Linkage::Global);
        let vars = [bpfweld_btf::SectionVar { type_id, offset: 0, size }];
        let datasec = Some(self.btf.add_datasec(name, size, &vars));
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        self.map(
            name,
            MapContent::Data { kind: DataKind::Data, size, bytes: bytes.into(), datasec },
        )
    }

    pub fn defined(&mut self, name: &str, spec: MapSpec) -> MapIndex {
        self.map(name, MapContent::Defined(spec))
    }

    pub fn map(&mut self, name: &str, content: MapContent) -> MapIndex {
        self.maps.push(ImageMap {
            name: name.into(),
            instance: InstanceId(0),
            label: LABEL.into(),
            content,
            existing: None,
        });
        MapIndex(self.maps.len() as u32 - 1)
    }

    pub fn finish(self) -> ImageSet {
        ImageSet {
            maps: self.maps,
            btf: Arc::new(self.btf.finish().unwrap()),
            entries: self.images.len(),
            images: self.images,
            warnings: Vec::new(),
            origin: Arc::default(),
        }
    }
}

pub fn xdp_spec() -> ProgramSpec {
    ProgramSpec {
        prog_type: ProgramType(prog_type::XDP),
        attach_type: Some(AttachType(37)),
        ..ProgramSpec::unknown()
    }
}

/// An array of `entries` 32-bit values.
pub fn array(entries: u32) -> MapSpec {
    MapSpec::new(map_type::ARRAY, 4, 4, entries)
}

/// A program that returns the first variable of a section.
pub fn return_variable(set: &mut SetBuilder, map: MapIndex) -> u32 {
    let [a, b] = imm64(1);
    let insns = vec![a, b, load_u32(0, 1, 0), exit()];
    set.image("return_variable", insns, &[(0, ImageTarget::MapValue { map, offset: 0 })])
}

/// A directory of its own, removed at the end.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bpfweld-kernel-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A BPF file system of its own, unmounted at the end.
pub struct BpfFs(TempDir);

impl BpfFs {
    /// `None`, with a message, where mounting is not permitted.
    pub fn mount() -> Option<Self> {
        let dir = TempDir::new();
        let mounted =
            std::process::Command::new("mount").args(["-t", "bpf", "bpf"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                skip(&format!("cannot mount a BPF file system: {other:?}"));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Names of all files and directories, sorted, relative; without the kernel's own two.
    pub fn tree(&self) -> Vec<String> {
        fn walk(root: &Path, dir: &Path, out: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                out.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                if path.is_dir() {
                    walk(root, &path, out);
                }
            }
        }
        let mut out = Vec::new();
        walk(self.path(), self.path(), &mut out);
        out.retain(|name| !name.ends_with(".debug"));
        out.sort();
        out
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.path()).status();
    }
}
